"""One claim per file: its docstring says what is claimed, its `measure(seed)` measures it."""

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
  """The names of all claims, sorted; files whose names begin with "_" hold what several claims share."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def module(name: str) -> ModuleType:
  """The file of a claim."""
  return importlib.import_module(f"{__name__}.{name}")


def sentence(name: str) -> str:
  """What a claim claims, in one sentence."""
  return module(name).__doc__.splitlines()[0]
