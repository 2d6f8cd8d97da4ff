"""A resolved config as a `ConfigDict` of ml_collections."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from stale_jax.config.resolve import resolve, unset_keys
from stale_jax.fields import without_none


def as_config_dict(tree: Mapping[str, Any]) -> ConfigDict:
  """`tree` as a ConfigDict; keys without a value become typed placeholders, which are None until set."""
  config = ConfigDict(dict(tree))
  for (*parents, key), field in unset_keys(tree).items():
    node = config
    for parent in parents:
      node = node[parent]
    node[key] = placeholder(without_none(field.type))
  return config


def default_config(senses: tuple[str, ...] = ("sight",), **names: str) -> ConfigDict:
  """A config with all sections and keys, at their defaults.

  Args:
    senses: senses of the clips that the network models.
    **names: section -> variant, for example `optimizer="muon"`; source and process have no default.

  Raises:
    UserError: a section or variant is unknown.
  """
  return as_config_dict(resolve({"senses": senses, **{key: {"name": name} for key, name in names.items()}}))
