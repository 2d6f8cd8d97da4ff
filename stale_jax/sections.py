"""Sections of a config: the keys of a section are the fields of a dataclass, with their defaults."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from stale_jax.construct import check_keys, is_required, plain
from stale_jax.documentation import attribute_docs, first_line
from stale_jax.errors import UserError
from stale_jax.fields import check_value, nearest, words


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """The valid keys and values of a section of a config.

  Attributes:
    variants: value of the key `name` -> dataclass whose fields are the other keys. A section with a single
      variant, called "", has no key `name`.
    default: the variant of a section without a name; None if the name is required.
    filled: fields that are not keys, because the builder fills them in.
    nested: key -> section that is its value.
    each: key -> section that is each value of its dictionary, whose keys are free.
    is_optional: whether the section is None (off) in configs that lack it.
  """

  variants: Mapping[str, type]
  default: str | None = ""
  filled: tuple[str, ...] = ()
  nested: Mapping[str, "Section"] = dataclasses.field(default_factory=dict)
  each: Mapping[str, "Section"] = dataclasses.field(default_factory=dict)
  is_optional: bool = False

  @property
  def is_named(self) -> bool:
    """Whether the section has a key `name`."""
    return "" not in self.variants

  def variant(self, values: Mapping[str, Any]) -> Any:
    """The variant of `values`, a section of a config; the name may be unknown, or no text."""
    return values.get("name") or self.default if self.is_named else ""

  def fields(self, variant: str) -> dict[str, dataclasses.Field]:
    """The keys of a variant, except `name`."""
    hidden = ("name", "parent", *self.filled)
    return {f.name: f for f in dataclasses.fields(self.variants[variant]) if f.name not in hidden}

  def docs(self, variant: str) -> dict[str, str]:
    """key -> its description in the docstring of the variant."""
    return attribute_docs(self.variants[variant])

  def summary(self, variant: str) -> str:
    """The first line of the docstring of a variant."""
    return first_line(self.variants[variant])

  def complete(self, values: Any, where: str) -> dict[str, Any]:
    """`values` with all keys of the variant, in the order of its fields; missing required keys stay missing.

    A value of None counts as missing.

    Args:
      values: the section of a config.
      where: name of the section in error messages.

    Raises:
      UserError: `values` is no mapping, a key or the variant is unknown, or a value has the wrong type or is
        out of range.
    """
    check_section(values, where)
    values = {key: value for key, value in values.items() if value is not None}
    name = self.variant(values)
    if not isinstance(name, str) or name not in self.variants:
      raise UserError(f"unknown {where}.name {name!r}: {nearest(str(name), self.variants)}")
    fields, whole = self.fields(name), {"name": name} if self.is_named else {}
    check_keys(values, (*fields, *whole), where)
    for key, field in fields.items():
      if key in self.nested:
        whole[key] = self.nested[key].complete(values.get(key, {}), f"{where}.{key}")
      elif key in self.each:
        stated = values.get(key, {})
        check_section(stated, f"{where}.{key}")
        whole[key] = {n: self.each[key].complete(x, f"{where}.{key}.{n}") for n, x in stated.items()}
      elif key in values:
        whole[key] = plain(values[key], field.type)
        check_value(whole[key], field, f"{where}.{key}")
      elif not is_required(field):
        whole[key] = default_of(field)
    return whole

  def unset(self, whole: Mapping[str, Any]) -> dict[str, dataclasses.Field]:
    """The keys of a completed section that are missing or None."""
    fields = self.fields(self.variant(whole))
    return {key: field for key, field in fields.items() if whole.get(key) is None}

  def missing(self, whole: Mapping[str, Any]) -> dict[str, dataclasses.Field]:
    """The required keys that a completed section lacks."""
    return {key: field for key, field in self.unset(whole).items() if is_required(field)}


def check_section(values: Any, where: str) -> None:
  """Raises UserError unless `values`, the section `where` of a config, has keys."""
  if not isinstance(values, Mapping):
    raise UserError(f"{where}={values!r}: a section is needed, a dictionary of keys.")


def only(cls: type, *filled: str, is_optional: bool = False) -> Section:
  """A section with one variant, `cls`; `filled` are its fields that are not keys."""
  return Section(variants={"": cls}, filled=filled, is_optional=is_optional)


def default_of(field: dataclasses.Field) -> Any:
  """The default of a field that has one; an integer default of a float field becomes a float."""
  if field.default_factory is not dataclasses.MISSING:
    return field.default_factory()
  return plain(field.default, field.type)


def is_mapping(field: dataclasses.Field) -> bool:
  """Whether the value of a key is a dictionary with arbitrary keys."""
  return typing.get_origin(field.type) is Mapping


def allowed(field: dataclasses.Field) -> str:
  """The valid values of a key, as text."""
  if "options" in field.metadata:
    options = " ".join(map(repr, field.metadata["options"]))
    return f"{'several' if typing.get_origin(field.type) is tuple else 'one'} of {options}"
  limits = str(field.metadata.get("range", ""))
  return f"{words(field.type)}, {limits}" if limits else words(field.type)
