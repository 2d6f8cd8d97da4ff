"""Settings that have been renamed. The old names work until the next version, with a warning."""

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

# Section of a config -> old name -> new name.
RENAMED = {"rollout": {"given": "conditioning_frames"}}


def with_new_names(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
  """The values of a section under the new names of their keys; warns about each old name."""
  names = RENAMED.get(section, {})
  for old in names.keys() & values.keys():
    _warn(f"{section}.{old}", names[old])
  return {names.get(key, key): value for key, value in values.items()}


def arguments_with_new_names(arguments: Iterable[str]) -> list[str]:
  """A command line with the new name of every --CONFIG.SECTION.KEY; warns about each old name."""
  return [_renamed_argument(argument) for argument in arguments]


def _renamed_argument(argument: str) -> str:
  match = re.fullmatch(r"(--?(?:no)?\w+\.)(\w+)\.(\w+)(=.*)?", argument, re.DOTALL)
  if not match or match[3] not in RENAMED.get(match[2], {}):
    return argument
  new = RENAMED[match[2]][match[3]]
  _warn(f"{match[2]}.{match[3]}", new)
  return f"{match[1]}{match[2]}.{new}{match[4] or ''}"


def _warn(old: str, new: str) -> None:
  warnings.warn(
    f"{old} is now called {new}; the old name will be removed in the next version.", FutureWarning, 3
  )
