"""First contact: help, misspelt and missing flags, empty values, installed configs, progress lines."""

import os
import re
import subprocess
import sys
import time

import pytest

from stale_jax.evaluation import SUITES
from tests.programs import ROOT, finish

PROGRAMS = sorted(
  path.stem for path in (ROOT / "experiments").glob("*.py") if "\n  run(main)\n" in path.read_text()
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_shows_an_example_and_the_flags_of_the_program(name):
  code, out, err = finish(name, "--help")
  assert code == 0 and not err
  assert f"python -m experiments.{name} " in out and f"Flags of experiments.{name}:" in out
  flags = set(re.findall(r"^  --(?:\[no\])?(\w+): ", out, re.MULTILINE))
  assert flags and not flags & {"verbosity", "logtostderr", "pdb", "only_check_args", "help"}
  for other in ("--helpfull", "-h"):
    assert finish(name, other)[:2] == (0, out)


@pytest.mark.parametrize(
  ("name", "arguments", "words"),
  [
    (
      "config",
      ["--config=configs/digitz.py"],
      "digitz.py does not exist; did you mean configs/digits.py?",
    ),
    ("train", ["--config=digits_micro", "--workdir=x"], "did you mean configs/digits_micro.py?"),
    ("launch", ["--run=configs/launch_v5.py", "--client=xpk"], "did you mean configs/launch_v5e.py?"),
    ("evaluate", [], "--suite is missing: choose captions, cartoons, composition, contamination"),
    ("generate", ["--prompt=a"], "--out is missing: Folder to write the movies"),
    ("train", ["--config=configs/digits.py"], "--workdir is missing: Folder of the run"),
    ("story", ["--out=x"], "--prompt is missing: Prompt of a panel"),
    ("ablate", ["--out=x"], "--table is missing"),
    ("reproduce", [], "--list for the names"),
    ("train", ["--config=configs/digits.py", "--workdir="], "--workdir is empty"),
    ("train", ["--config=configs/digits.py", "--workdir=run", "--profile="], "--profile is empty"),
    ("train", ["--config=", "--workdir=x"], "--config is empty"),
    ("generate", ["--prompt=a", "--out", ""], "--out is empty"),
    ("generate", ["--prompt=a", "--out=x", "--workdir= "], "--workdir is empty"),
    ("evaluate", ["--suite=captions", "--sheet="], "--sheet is empty"),
    ("story", ["--prompt=a", "--out="], "--out is empty"),
    ("dead_frames", ["--out="], "--out is empty"),
    ("excavate", ["--workdir="], "--workdir is empty"),
    ("remedies", ["--out="], "--out is empty"),
    ("ablate", ["--table=few", "--out="], "--out is empty"),
    ("motion", ["--out="], "--out is empty"),
    ("curate", ["--input=", "--output=x"], "--input is empty"),
    ("launch", ["--run=configs/launch_v5e.py", "--client=xpk", "--out="], "--out is empty"),
    ("plan", ["--config=configs/stale_1b.py", "--topology=v5e:16x16", "--html="], "--html is empty"),
    ("reproduce", ["--claim=prior_is_uniform", "--results="], "--results is empty"),
    ("results", ["--out="], "--out is empty"),
  ],
)
def test_misuse_is_one_line(name, arguments, words, tmp_path):
  code, out, err = finish(name, *arguments, cwd=tmp_path)
  assert code == 2 and not out and err.startswith("error: ") and err.count("\n") == 1 and words in err, err
  assert not list(tmp_path.iterdir())


def test_suites_are_listed_with_what_they_ask():
  code, out, _ = finish("evaluate", "--list")
  assert code == 0 and {line.split()[0] for line in out.splitlines()} == SUITES.keys()


def test_installed_configs_are_found_outside_a_checkout(tmp_path):
  code, out, err = finish("config", "--config=configs/base.py:lorenz", cwd=tmp_path)
  assert code == 0 and "config.source.name = 'lorenz'" in out, err


def test_the_first_line_comes_before_jax_is_imported(tmp_path):
  # Importing this "JAX" takes longer than any test.
  (tmp_path / "jax").mkdir()
  (tmp_path / "jax" / "__init__.py").write_text("import time\ntime.sleep(600)\n")
  environment = {**os.environ, "STALE_JAX_QUIET": "0", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
  command = [sys.executable, "-m", "experiments.evaluate", "--suite=captions"]
  began = time.monotonic()
  with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
    line = process.stderr.readline()
    process.kill()
  assert line.startswith("starting experiments.evaluate") and time.monotonic() - began < 60
