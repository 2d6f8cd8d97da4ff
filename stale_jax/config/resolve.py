"""Completes a config: every key of every section, with its value or default."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from stale_jax.config.schema import ROOT, is_autoencoder, sections_of
from stale_jax.construct import check_keys
from stale_jax.errors import UserError
from stale_jax.renamed import with_new_names
from stale_jax.sections import check_section


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns `config` with all sections and keys; optional sections that are off are None.

  Required keys that `config` lacks stay missing: `unset_keys` finds them, and `build` raises an error.

  Raises:
    UserError: a section, key or name is unknown, a required section is missing, or a value has the wrong type
      or is out of range.
  """
  sections, root = sections_of(config), ROOT.fields("")
  check_keys(config, (*root, *sections), "config of an autoencoder" if is_autoencoder(config) else "config")
  for name in ("senses", *(name for name, section in sections.items() if section.default is None)):
    if config.get(name) is None:
      raise UserError(f"the config lacks the section {name!r}, which is required.")
  stated = {name: {} if config.get(name) is None else config[name] for name in sections}
  for name, values in stated.items():
    check_section(values, name)
  tree = ROOT.complete({key: config.get(key) for key in root}, "config")
  for name, section in sections.items():
    is_off = section.is_optional and config.get(name) is None
    tree[name] = None if is_off else section.complete(with_new_names(name, stated[name]), name)
  return tree


def unset_keys(tree: Mapping[str, Any]) -> dict[tuple[str, ...], dataclasses.Field]:
  """Finds the keys of a resolved tree that have no value: required keys, and keys whose default is None.

  Returns:
    Path of the key, for example ("source", "path") -> its dataclass field.
  """
  found = {}
  for name, section in sections_of(tree).items():
    if tree[name] is None:
      continue
    found |= {(name, key): field for key, field in section.unset(tree[name]).items()}
    for key, nested in section.nested.items():
      if inner := tree[name].get(key):
        found |= {(name, key, part): field for part, field in nested.unset(inner).items()}
    for key, each in section.each.items():
      for item, inner in tree[name].get(key, {}).items():
        found |= {(name, key, item, part): field for part, field in each.unset(inner).items()}
  return found
