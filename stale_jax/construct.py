"""Builds frozen dataclasses from plain data; errors name the unknown key and the nearest valid key."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from stale_jax.errors import UserError
from stale_jax.fields import nearest, parts_of


def construct(cls: type, section: Mapping[str, Any], where: str):
  """Builds the dataclass `cls` from `section`; lists become tuples, and integers become floats where needed.

  Raises:
    UserError: `section` has a key that `cls` lacks, or lacks a required key.
  """
  fields = {f.name: f for f in dataclasses.fields(cls) if f.init and f.name not in ("parent", "name")}
  check_keys({key: value for key, value in section.items() if key != "name"}, fields, where)
  values = {key: plain(value, fields[key].type) for key, value in section.items() if key != "name"}
  for key, field in fields.items():
    if is_required(field) and values.get(key) is None:
      raise UserError(f"config key {where}.{key} is missing.")
  return cls(**values)


def choose(registry: Mapping[str, type], section: Mapping[str, Any], where: str):
  """Builds the class `registry[section["name"]]` from the other keys of the section.

  Raises:
    UserError: the name or a key is unknown.
  """
  name = section.get("name")
  if name not in registry:
    raise UserError(f"unknown {where}.name {name!r}: {nearest(name, registry)}")
  return construct(registry[name], section, where)


def is_required(field: dataclasses.Field) -> bool:
  """Whether the field has no default."""
  return field.default is field.default_factory is dataclasses.MISSING


def plain(value: Any, kind: Any) -> Any:
  """Converts a value from JSON or the command line to the type `kind`: lists to tuples, ints to floats."""
  if isinstance(value, list | tuple) and type(value) in (list, tuple):
    parts = parts_of(kind)
    declared = parts[:1] * len(value) if parts and parts[-1] is ... else parts
    kinds = declared if len(declared) == len(value) else (None,) * len(value)
    return tuple(plain(element, part) for element, part in zip(value, kinds, strict=True))
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if isinstance(value, Mapping) and typing.get_args(kind)[1:] == (float,):
    return {key: plain(element, float) for key, element in value.items()}
  return value


def check_keys(section: Mapping[str, Any], valid: Iterable[str], where: str) -> None:
  """Raises UserError if `section` has a key that is not in `valid`."""
  for key in section:
    if key not in valid:
      raise UserError(f"unknown config key {where}.{key}: {nearest(key, valid)}")
