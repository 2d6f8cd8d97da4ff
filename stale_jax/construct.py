"""From plain data to frozen dataclasses, naming the unknown key and the nearest valid one."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from stale_jax.errors import UserError


def nearest(word: str, valid: Iterable[str]) -> str:
  """The clause that helps after "unknown ...": the closest valid word, or all of them."""
  valid = sorted(valid)
  close = difflib.get_close_matches(str(word), valid, n=1, cutoff=0.5)
  return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(valid)}."


def construct(cls: type, section: Mapping[str, Any], where: str):
  """Builds the dataclass `cls` from `section`; lists become tuples.

  Raises:
    UserError: a key that `cls` does not have, or a required key that is missing.
  """
  fields = {f.name: f for f in dataclasses.fields(cls) if f.init and f.name not in ("parent", "name")}
  values = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items() if k != "name"}
  for key in values:
    if key not in fields:
      raise UserError(f"unknown config key {where}.{key}: {nearest(key, fields)}")
  for key, field in fields.items():
    if field.default is field.default_factory is dataclasses.MISSING and key not in values:
      raise UserError(f"config key {where}.{key} is missing.")
  return cls(**values)


def choose(registry: Mapping[str, type], section: Mapping[str, Any], where: str):
  """Builds the entry of `registry` that `section["name"]` names from the section's other keys.

  Raises:
    UserError: an unknown name or key.
  """
  name = section.get("name")
  if name not in registry:
    raise UserError(f"unknown {where}.name {name!r}: {nearest(name, registry)}")
  return construct(registry[name], section, where)


def at_least(least: int, where: str, **values: int) -> None:
  """Raises UserError if one of `values`, keys of the section `where`, is less than `least`."""
  for key, value in values.items():
    if value < least:
      raise UserError(f"{where}.{key}={value}: at least {least} is needed.")


def check_keys(section: Mapping[str, Any], valid: Iterable[str], where: str) -> None:
  """Raises UserError if `section` has a key outside `valid`."""
  for key in section:
    if key not in valid:
      raise UserError(f"unknown config key {where}.{key}: {nearest(key, valid)}")
