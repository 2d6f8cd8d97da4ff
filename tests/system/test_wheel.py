"""The wheel, installed alone in a fresh environment outside the checkout, and the notebook there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT

NOTEBOOK = ROOT / "experiments/colab/first_movie.ipynb"
pytestmark = pytest.mark.slow


def run(*command, cwd: Path, **environment) -> str:
  """The stdout of a command, in an environment without the checkout."""
  clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
  done = subprocess.run(
    list(map(str, command)), cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=900
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  folder = tmp_path_factory.mktemp("wheel")
  sources = folder / "sources"  # A copy, because setuptools builds inside of them.
  sources.mkdir()
  for name in ("setup.py", "README.md"):
    shutil.copy(ROOT / name, sources)
  for name in ("stale_jax", "configs", "experiments"):
    shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
  build = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sources]
  run(sys.executable, "-m", *build, cwd=folder)
  (path,) = folder.glob("stale_jax-*.whl")
  return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
  """The Python of a fresh environment, in which only the wheel and what it needs are installed."""
  folder = tmp_path_factory.mktemp("fresh")
  run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
  path = folder / "venv/bin/python"
  run(path, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
  return path


def test_the_wheel_alone_generates_and_trains(python, tmp_path):
  found = run(python, "-c", "import stale_jax; print(stale_jax.__file__)", cwd=tmp_path)
  assert "site-packages" in found and str(ROOT) not in found
  prompt = "--prompt=a fan in a red T-shirt waves on a stage at night"
  run(python, "-m", "experiments.generate", prompt, "--out=movies", "--steps=4", cwd=tmp_path)
  assert (tmp_path / "movies/index.html").stat().st_size > 10_000 and list(
    (tmp_path / "movies").glob("*.mp4")
  )
  # A config of the wheel by its module's place, and one of the user's.
  where = run(python, "-c", "import configs.digits; print(configs.digits.__file__)", cwd=tmp_path).strip()
  small = ["model.width=32", "model.depth=1", "model.heads=2", "training.steps=2", "training.batch=4"]
  overrides = [f"--config.{text}" for text in small]
  run(python, "-m", "experiments.train", f"--config={where}", "--workdir=run", *overrides, cwd=tmp_path)
  assert (tmp_path / "run/weights.safetensors").exists()


def test_the_notebook_runs_from_top_to_bottom(python, wheel, tmp_path):
  run(python, "-m", "pip", "install", "--quiet", "nbclient", "ipykernel", cwd=tmp_path)
  (tmp_path / "first_movie.ipynb").write_bytes(NOTEBOOK.read_bytes())
  script = """
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("first_movie.ipynb", 4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, "done.ipynb")
"""
  # Its first cell installs the wheel: pip finds it here.
  run(python, "-c", script, cwd=tmp_path, PIP_FIND_LINKS=str(wheel.parent))
  cells = json.loads((tmp_path / "done.ipynb").read_text())["cells"]
  code = [cell for cell in cells if cell["cell_type"] == "code"]
  shown = [output for cell in code for output in cell["outputs"]]
  assert all(cell["execution_count"] for cell in code)
  # Three movies display themselves.
  assert sum("<video" in "".join(output.get("data", {}).get("text/html", "")) for output in shown) == 3
  assert "%pip install" in "".join(code[0]["source"])
  assert any("'sight': (16, 32, 32, 3)" in "".join(o.get("data", {}).get("text/plain", "")) for o in shown)
  movie = tmp_path / "movies" / "a-fairy-in-a-purple-tunic-dances-on-a-stage-by-day-1.mp4"
  assert movie.stat().st_size > 1000 and (tmp_path / "runs/first/weights.safetensors").exists()
