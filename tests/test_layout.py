"""What may import what, and how lightly."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stale_jax"
# Each may import itself, its own row and the rows above.
ROWS = [
  {"errors", "construct", "files", "text", "script", "compilation", "memory", "mesh"},
  {"clip"},
  {"processes", "models", "data"},
  {"objectives", "sampling"},
  {"system"},
  {"evaluation", "media"},
  {"hosts", "training", "config", "checkpoints", "zoo", "serving", "planning", "launching"},
  {"movie", "pipeline", "run"},
]
ALONE = {"processes", "models"}  # Neither knows the other, nor the data.


def imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module:
      yield from [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
    elif isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)


def part(path):
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_dependencies_point_one_way(path):
  if part(path) == "__init__":
    return
  row = next(i for i, names in enumerate(ROWS) if part(path) in names)
  for name in imports(path):
    assert name.split(".")[0] not in ("experiments", "configs", "tests", "torch", "tensorflow"), name
    if name.startswith("stale_jax."):
      other = name.split(".")[1]
      rows = [i for i, names in enumerate(ROWS) if other in names]
      assert not rows or rows[0] <= row, f"{path} imports {name}"
      if part(path) in ALONE and rows and rows[0] == row:
        assert other == part(path), f"{path} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_folders_name_what_they_offer_and_no_more(path):
  for node in ast.parse(path.read_text()).body:
    assert isinstance(node, (ast.ImportFrom, ast.Expr, ast.Assign)), ast.unparse(node)


def test_importing_is_light_and_brings_no_other_framework():
  code = (
    "import sys, stale_jax; print([m for m in ('jax', 'numpy') if m in sys.modules])\n"
    "import stale_jax.training, stale_jax.pipeline, stale_jax.evaluation\n"
    "print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
  )
  out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
  assert out.stdout.split() == ["[]", "[]"]
