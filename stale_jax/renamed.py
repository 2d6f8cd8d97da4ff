"""Settings whose names have changed. The old names still work, with a warning, until the next version."""

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

# Section of a config -> old name -> new name.
RENAMED = {"rollout": {"given": "conditioning_frames"}}


def with_new_names(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
  """`values` of the keys of a section, by their present names; warns about each old one."""
  names = RENAMED.get(section, {})
  for old in names.keys() & values.keys():
    _warn(f"{section}.{old}", names[old])
  return {names.get(key, key): value for key, value in values.items()}


def arguments_with_new_names(arguments: Iterable[str]) -> list[str]:
  """A command line in which every --CONFIG.SECTION.KEY has its present name; warns about each old one."""
  return [_renamed_argument(argument) for argument in arguments]


def _renamed_argument(argument: str) -> str:
  match = re.fullmatch(r"(--?(?:no)?\w+\.)(\w+)\.(\w+)(=.*)?", argument, re.DOTALL)
  if not match or match[3] not in RENAMED.get(match[2], {}):
    return argument
  new = RENAMED[match[2]][match[3]]
  _warn(f"{match[2]}.{match[3]}", new)
  return f"{match[1]}{match[2]}.{new}{match[4] or ''}"


def _warn(old: str, new: str) -> None:
  warnings.warn(f"{old} is now called {new}; the old name will go with the next version.", FutureWarning, 3)
