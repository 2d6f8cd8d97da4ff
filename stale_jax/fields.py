"""Ranges and options of dataclass fields, declared at the field and checked when an object is created.

@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  solver: str = choice("euler", SOLVERS)
  steps: int = number(20, least=1)

  def __post_init__(self):
    check_fields(self, "sampling")
"""

import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stale_jax.errors import UserError

_NUMBERS = {int: numbers.Integral, float: numbers.Real}
_WORDS = {
  int: ("a whole number", "whole numbers"),
  float: ("a number", "numbers"),
  bool: ("True or False", "truth values"),
  str: ("a line of text", "lines of text"),
}


# Greatest magnitude of a number: the greatest 32-bit integer, whose square is still finite in float32.
GREATEST = 2**31 - 1


def closest(word: str, valid: Iterable[str]) -> str | None:
  """The valid word that is most similar to `word`; None if none is similar."""
  close = difflib.get_close_matches(str(word), sorted(valid), n=1, cutoff=0.5)
  return close[0] if close else None


def nearest(word: str, valid: Iterable[str]) -> str:
  """The end of an error message about an unknown `word`: the closest valid word, or all valid words."""
  valid = sorted(valid)
  close = closest(word, valid)
  return f"did you mean {close!r}?" if close else f"valid: {', '.join(valid)}."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
  """An interval of numbers between -GREATEST and GREATEST; a bound of None is absent.

  Attributes:
    least, most: closed bounds.
    above, below: open bounds.
  """

  least: float | None = None
  most: float | None = None
  above: float | None = None
  below: float | None = None

  def __contains__(self, value: float) -> bool:
    return bool(
      abs(value) <= GREATEST  # False for NaN and infinity.
      and (self.least is None or value >= self.least)
      and (self.most is None or value <= self.most)
      and (self.above is None or value > self.above)
      and (self.below is None or value < self.below)
    )

  def __str__(self) -> str:
    if self.least is not None and self.most is not None:
      return f"from {_number(self.least)} to {_number(self.most)}"
    bounds = {"at least": self.least, "above": self.above, "at most": self.most, "less than": self.below}
    return " and ".join(f"{word} {_number(bound)}" for word, bound in bounds.items() if bound is not None)

  def complaint(self, value: float) -> str:
    """The text after "key=value" in an error message about a `value` that is not in the interval."""
    if GREATEST < abs(value) < math.inf and self.most is self.below is None:
      least = -GREATEST if self.least is self.above is None else self.least
      return dataclasses.replace(self, least=least, most=GREATEST).complaint(value)
    if str(self) in ("", "above 0"):
      return ": a positive number is needed." if str(self) else ": a finite number is needed."
    lone = [self.least, self.most, self.above, self.below].count(None) == 3
    if lone:
      return f": {self} is needed."
    return f" must {'lie' if str(self).startswith('from') else 'be'} {self}."


def number(
  default: Any = dataclasses.MISSING,
  *,
  least: float | None = None,
  most: float | None = None,
  above: float | None = None,
  below: float | None = None,
) -> Any:
  """A field for a number, or a tuple or mapping of numbers, each within the bounds.

  Args:
    default: default of the field; dataclasses.MISSING for a required field; {} for a new empty mapping.
    least, most: closed bounds; -GREATEST and GREATEST if there are no others.
    above, below: open bounds.
  """
  metadata = {"range": Range(least=least, most=most, above=above, below=below)}
  if isinstance(default, dict):
    return dataclasses.field(default_factory=dict, metadata=metadata)
  return dataclasses.field(default=default, metadata=metadata)


def choice(default: Any, options: Collection[str]) -> Any:
  """A field that holds one of `options`, or a tuple of some of them.

  `options` is read at each check, so that an entry added to a registry later is an option as well.
  """
  return dataclasses.field(default=default, metadata={"options": options})


def check_fields(instance: Any, section: str) -> None:
  """Checks the types, ranges and options of all fields of a dataclass.

  Raises:
    UserError: a field is invalid; the message has `section.field`, the value and what is needed.
  """
  values = vars(instance)  # The parent of a Flax module is not among them.
  for field in dataclasses.fields(instance):
    if field.name in values:
      check_value(values[field.name], field, f"{section}.{field.name}")


def check_value(value: Any, field: dataclasses.Field, key: str) -> None:
  """Raises UserError unless `value` is valid for `field`, which error messages call `key`."""
  if not fits(value, field.type):
    raise UserError(f"{key}={value!r}: {words(field.type)} is needed.")
  for element in _elements(value) if value is not None else ():
    if "range" in field.metadata and element not in field.metadata["range"]:
      raise UserError(f"{key}={value}{field.metadata['range'].complaint(element)}")
    if "options" in field.metadata and element not in field.metadata["options"]:
      raise UserError(f"unknown {key} {element!r}: {nearest(element, field.metadata['options'])}")


def fits(value: Any, kind: Any) -> bool:
  """Whether `value` has the type `kind`; True for any value if the type is not plain (see `words`)."""
  parts = parts_of(kind)
  if types.NoneType in parts:
    return value is None or fits(value, without_none(kind))
  if kind in _NUMBERS:
    return isinstance(value, _NUMBERS[kind]) and not isinstance(value, bool)
  if kind in (bool, str):
    return isinstance(value, kind)
  if is_tuple(kind):
    kinds = parts[:1] * len(value) if parts[-1] is ... and isinstance(value, tuple) else parts
    return isinstance(value, tuple) and len(value) == len(kinds) and all(map(fits, value, kinds))
  if typing.get_origin(kind) is Mapping:
    return isinstance(value, Mapping) and all(fits(element, parts[1]) for element in value.values())
  return True


def is_tuple(kind: Any) -> bool:
  """Whether the type `kind` is a tuple of declared types: `tuple[int, ...]`, or a NamedTuple."""
  return typing.get_origin(kind) is tuple or (isinstance(kind, type) and issubclass(kind, tuple))


def parts_of(kind: Any) -> tuple:
  """The types of which `kind` is composed; (int, int) for a NamedTuple with two integers."""
  return typing.get_args(kind) or (tuple(typing.get_type_hints(kind).values()) if is_tuple(kind) else ())


def without_none(kind: Any) -> Any:
  """`kind` without None: `int` for `int | None`."""
  others = [part for part in typing.get_args(kind) if part is not types.NoneType]
  return others[0] if types.NoneType in typing.get_args(kind) else kind


def words(kind: Any, many: bool = False) -> str:
  """The name of a plain type in an error message, for example "a tuple of 2 numbers".

  Plain types are int, float, bool and str, tuples (also NamedTuples) and mappings of them, and their unions
  with None.

  Args:
    kind: the type.
    many: whether to return the plural.
  """
  kind = without_none(kind)
  parts = parts_of(kind)
  if kind in _WORDS:
    return _WORDS[kind][many]
  if is_tuple(kind):
    count = "" if parts[-1] is ... else f"{len(parts)} "
    names = "" if typing.get_args(kind) else f" ({', '.join(kind._fields)})"
    return f"{'tuples' if many else 'a tuple'} of {count}{words(parts[0], True)}{names}"
  if typing.get_origin(kind) is Mapping:
    return f"a dictionary of {words(parts[1], True)}"
  return "values" if many else "a value"


def _number(bound: float) -> str:
  return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _elements(value: Any) -> list:
  """The numbers or strings in `value`, flattened."""
  if isinstance(value, Mapping):
    return [element for part in value.values() for element in _elements(part)]
  if isinstance(value, tuple):
    return [element for part in value for element in _elements(part)]
  return [value]
