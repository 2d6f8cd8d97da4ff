"""One claim per file: its docstring states the claim, and its `measure(seed)` measures it."""

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
  """The sorted names of all claims. Files whose names begin with "_" are shared by several claims."""
  return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def module(name: str) -> ModuleType:
  """The module of a claim."""
  return importlib.import_module(f"{__name__}.{name}")


def sentence(name: str) -> str:
  """The claim in one sentence: the first line of its docstring."""
  return module(name).__doc__.splitlines()[0]
