"""What may import what, and how lightly; what no line of the package does; how long files and classes are."""

import ast
import collections
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stale_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
# Each may import itself, its own row and the rows above.
ROWS = [
  {
    "errors",
    "fields",
    "construct",
    "documentation",
    "renamed",
    "sections",
    "files",
    "text",
    "script",
    "compilation",
    "gpu_memory",
    "memory",
    "mesh",
    "progress",
    "flops",
  },
  {"clip"},
  {"processes", "models", "data"},
  {"objectives", "sampling"},
  {"system"},
  {"evaluation", "media"},
  {"hosts", "training", "config", "checkpoints", "zoo", "planning", "launching"},
  {
    "checks",
    "movie",
    "scores",
    "loading",
    "pipeline",
    "run",
    "cells",
    "story",
    "editing",
    "guidance_by_energy",
    "classification",
    "finding",
    "teleport",
    "sizes",
    "inpainting",
    "masks",
    "benchmark",
    "serving",
  },
  {"testing"},
]
ALONE = {"processes", "models"}  # Neither knows the other, nor the data.
LONGEST_FILE, LONGEST_CLASS = 400, 200  # Lines.

# Uses of `getattr`, `hasattr`, `AttributeError` and of `isinstance` between classes of the package that may
# stay, since they ask objects of others: file -> (how many, why).
FOREIGN = {
  "__init__.py": (3, "a module's own __getattr__, which loads on first use, and the error that it raises"),
  "data/curate/isolation.py": (1, "a function that a task names"),
  "data/curate/describe.py": (1, "JSON of others"),
  "data/curate/encode.py": (2, "a function that a setting names"),
  "data/curate/provenance.py": (1, "JSON of others"),
  "data/curate/vision_endpoint.py": (1, "JSON of others"),
  "data/curate/stage.py": (1, "what Beam raises of wrong flags"),
  "data/decode/tracks.py": (1, "what parsers raise of broken files"),
  "data/sources/tfds.py": (1, "features of tensorflow_datasets"),
  "media/arrays.py": (1, "what parsers raise of broken files"),
  "memory.py": (1, "the C library"),
  "flops.py": (2, "jaxprs, open or closed"),
}


def imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module:
      yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)


def part(path):
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def named(path) -> str:
  """The module in a file."""
  return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {named(path): path for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
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


def graph() -> dict[str, set[str]]:
  """module -> what is imported, inside functions or not, for it: the packages around that as well."""
  found = {}
  for name, path in MODULES.items():
    found[name] = set()
    for target in imports(path):
      parts = target.split(".")
      around = [".".join(parts[: i + 1]) for i in range(len(parts))]
      if (last := next((t for t in reversed(around) if t in MODULES), None)) is None:
        continue
      # A package that is around the importing module as well is imported already.
      found[name] |= {t for t in around if t in MODULES and (t == last or not f"{name}.".startswith(f"{t}."))}
    found[name].discard(name)
  return found


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
  """The shortest circle through each module that lies on one."""
  found = []
  for start in edges:
    before, queue = {}, collections.deque([start])
    while queue:
      at = queue.popleft()
      for after in edges.get(at, ()):
        if after not in before:
          before[after] = at
          queue.append(after)
    if start in before:
      circle = [start]
      while (at := before[circle[-1]]) != start:
        circle.append(at)
      found.append(circle[::-1])
  return found


def test_no_modules_import_one_another_in_a_circle():
  edges = graph()
  assert sum(map(len, edges.values())) > 300
  assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) and not circles({"a": {"b"}, "b": set()})
  assert not circles(edges)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_folders_name_what_they_offer_and_no_more(path):
  for node in ast.parse(path.read_text()).body:
    assert isinstance(node, (ast.ImportFrom, ast.Expr, ast.Assign)), ast.unparse(node)


@functools.cache
def own_classes() -> frozenset[str]:
  """The names of the package's classes, without those of errors."""
  nodes = (node for path in FILES for node in ast.walk(ast.parse(path.read_text())))
  return frozenset(n.name for n in nodes if isinstance(n, ast.ClassDef) and not n.name.endswith("Error"))


def probes(source: str) -> list[str]:
  """Lines that ask an object what it is or has, where a protocol should say so."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Name) and node.id in ("hasattr", "getattr", "AttributeError"):
      found.append(f"line {node.lineno}: {node.id}")
    if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
      found.append(f"line {node.lineno}: {node.name}")
    asked = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
      asked = [node.args[1]]
    elif isinstance(node, ast.MatchClass):
      asked = [node.cls]
    elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Call):
      if isinstance(node.left.func, ast.Name) and node.left.func.id == "type":
        asked = node.comparators
    names = {n.id for part in asked for n in ast.walk(part) if isinstance(n, ast.Name)}
    if ours := sorted(names & own_classes()):
      found.append(f"line {node.lineno}: asks whether it is a {', '.join(ours)}")
  return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_objects_are_not_probed(path):
  name = str(path.relative_to(PACKAGE))
  found = probes(path.read_text())
  assert len(found) <= FOREIGN.get(name, (0, ""))[0], found


def test_probes_are_found():
  for line in ("hasattr(x, 'a')", "getattr(x, 'a', 1)", "isinstance(x, Movie)", "type(x) is Movie"):
    assert probes(line), line
  assert probes("try:\n  x.a\nexcept AttributeError:\n  pass") and not probes("isinstance(x, (int, str))")


def lengths(path) -> dict[str, int]:
  """name -> lines, of a file and of its classes."""
  text, name = path.read_text(), str(path.relative_to(PACKAGE))
  nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ClassDef)]
  return {name: text.count("\n")} | {f"{name} {n.name}": n.end_lineno - n.lineno + 1 for n in nodes}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_classes_are_short(path):
  for name, lines in lengths(path).items():
    assert lines <= (LONGEST_CLASS if " " in name else LONGEST_FILE), f"{name} has {lines} lines"


def test_the_lists_of_exceptions_name_what_is_there():
  names = {str(path.relative_to(PACKAGE)) for path in FILES}
  assert set(FOREIGN) <= names


def test_importing_is_light_and_brings_no_other_framework():
  code = (
    "import sys, stale_jax; print([m for m in ('jax', 'numpy') if m in sys.modules])\n"
    "import stale_jax.training, stale_jax.pipeline, stale_jax.evaluation\n"
    "print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
  )
  out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
  assert out.stdout.split() == ["[]", "[]"]


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: p.stem)
def test_tests_start_programs_and_import_none(path):
  if path.name != "make.py":  # Runs with the code of the first releases.
    assert not any(name.split(".")[0] == "experiments" for name in imports(path))


def test_checkpoints_know_the_state_of_training_alone():
  files = [path for path in FILES if part(path) == "checkpoints"]
  known = {name for path in files for name in imports(path) if name.startswith("stale_jax.training.")}
  assert {name.split(".")[2] for name in known} <= {"state", "ema"}, known
