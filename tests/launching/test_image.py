"""The Dockerfile: its steps, done by hand in an empty folder, give a repository whose programs start."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata

from tests.programs import ROOT


def steps() -> list[tuple[str, str]]:
  text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
  lines = (line for line in text.splitlines() if line and not line.startswith("#"))
  return [tuple(line.split(" ", 1)) for line in lines]


def test_what_it_copies_is_enough_to_train(tmp_path):
  ignored = (ROOT / ".dockerignore").read_text().splitlines()
  for word, rest in steps():
    if word == "COPY":
      *sources, target = rest.split()
      for source in sources:
        assert f"!{source}" in ignored
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / (source if target == "./" else target))
    if word == "RUN":
      for command in rest.split("&&"):
        program, *arguments = shlex.split(command)
        if program == "python":
          done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True)
          assert done.returncode == 0 and "--workdir" in done.stdout, done.stderr


def test_it_installs_extras_that_exist():
  installs = [rest for word, rest in steps() if word == "RUN" and "[" in rest]
  [extras] = re.findall(r"\.\[(.*?)\]", installs[0])
  known = metadata.metadata("stale_jax").get_all("Provides-Extra")
  for accelerator in ("tpu", "cuda"):
    assert set(extras.replace("${ACCELERATOR}", accelerator).split(",")) <= set(known)
