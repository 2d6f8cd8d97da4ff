"""Command-line overrides of a config: adds the sections, variants and keys to which they refer."""

import copy
from collections.abc import Mapping
from typing import Any

from stale_jax.config.resolve import resolve
from stale_jax.config.schema import sections_of
from stale_jax.errors import UserError
from stale_jax.fields import nearest
from stale_jax.sections import Section, is_mapping


def resolve_for(config: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
  """Resolves `config`, and adds the sections, variants and keys that the paths in `overrides` need.

  Only the overrides of variant names (paths that end in `.name`) are applied. The caller applies the others.
  `optimizer.name=adamw` drops the keys of the former optimizer that adamw lacks. A path into an optional
  section that is off turns the section on, and a path to a new key of a dictionary adds the key, with a
  placeholder value.

  Args:
    config: the values in the config file.
    overrides: dotted path -> value, as text.

  Raises:
    UserError: as `resolve`, or a path in `overrides` is not a key of the config.
  """
  config = copy.deepcopy(dict(config))
  names = {path: value for path, value in overrides.items() if path.endswith(".name")}
  # First the network, which determines the valid sections.
  for path in sorted(names, key=lambda path: path != "model.name"):
    _set_name(config, path.split(".")[:-1], names[path])
  sections = sections_of(config)
  for path in overrides:
    name, _, rest = path.partition(".")
    if rest and config.get(name) is None and name in sections:
      config[name] = {}
  tree = resolve(config)
  for path in overrides:
    _check_path(tree, path)
  return tree


def _set_name(config: dict[str, Any], where: list[str], name: str) -> None:
  """Sets the variant of the section at `where` and drops the keys that only the former variant has."""
  before = sections_of(config)
  section, values = _section_at(before, where), config
  for key in where:
    values[key] = values.get(key) or {}
    values = values[key]
  former = section and section.variant(values)
  values["name"] = name
  if where == ["model"]:
    _drop_sections(config, before, sections_of(config))
  if section and section.is_named and {former, name} <= section.variants.keys():
    for key in section.fields(former).keys() - section.fields(name).keys():
      values.pop(key, None)


def _section_at(sections: Mapping[str, Section], where: list[str]) -> Section | None:
  """The section at a path, or None."""
  section, keys = sections.get(where[0]), iter(where[1:])
  for key in keys:
    if section and key in section.each:
      section = section.each[key] if next(keys, None) else None
    else:
      section = section and section.nested.get(key)
  return section


def _drop_sections(config: dict[str, Any], before: Mapping[str, Section], now: Mapping[str, Section]) -> None:
  """Drops the sections that the new kind of network lacks, or for which it has none of the same variants."""
  for name, section in before.items():
    if name not in now or (name != "model" and section.variants.keys().isdisjoint(now[name].variants)):
      config.pop(name, None)


def _check_path(tree: dict[str, Any], path: str) -> None:
  """Raises UserError unless `path` is a key of `tree`. A new key of a dictionary is added, with value 1."""
  *parents, last = path.split(".")
  node = tree
  for depth, key in enumerate([*parents, last]):
    if not isinstance(node, Mapping) or key not in node:
      where = ".".join(path.split(".")[:depth]) or "config"
      if depth == len(parents) and _has_free_keys(tree, parents):
        node[last] = 1.0
        return
      if isinstance(node, Mapping) and (valid := _keys_at(tree, path.split(".")[:depth], node)):
        if key in valid:
          return
        raise UserError(f"unknown config key {where}.{key}: {nearest(key, valid)}")
      raise UserError(f"unknown config key {where}.{key}: {where} has no keys.")
    node = node[key]


def _has_free_keys(tree: Mapping[str, Any], where: list[str]) -> bool:
  """Whether the value at `where` is a dictionary with arbitrary keys."""
  if len(where) != 2:
    return False
  section = sections_of(tree)[where[0]]
  fields = section.fields(section.variant(tree[where[0]]))
  return where[1] in fields and is_mapping(fields[where[1]]) and where[1] not in section.nested


def _keys_at(tree: Mapping[str, Any], where: list[str], node: Mapping[str, Any]) -> set[str]:
  """The keys of the section at `where`, including required keys without a value."""
  section = _section_at(sections_of(tree), where) if where else None
  return {*node, *(section.missing(node) if section else ())}
