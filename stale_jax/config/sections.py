"""The sections that a config may have."""

from collections.abc import Mapping
from typing import Any

from stale_jax.construct import check_keys
from stale_jax.errors import UserError

SECTIONS = (
  "seed",
  "senses",
  "source",
  "process",
  "times",
  "model",
  "objective",
  "cringe",
  "dog",
  "messup",
  "corruption",
  "first",
  "artv",
  "optimizer",
  "ema",
  "mesh",
  "training",
  "sampling",
  "rollout",
  "self_forcing",
  "grpo",
)
AUTOENCODER_SECTIONS = (
  "seed",
  "senses",
  "source",
  "model",
  "objective",
  "optimizer",
  "ema",
  "mesh",
  "training",
)


def is_autoencoder(config: Mapping[str, Any]) -> bool:
  """Whether the config's network is an autoencoder."""
  return config.get("model", {}).get("name") == "autoencoder"


def check_sections(config: Mapping[str, Any]) -> None:
  """Raises UserError if `config` has an unknown section or lacks one that has no default."""
  needed = ("senses", "source")
  if is_autoencoder(config):
    check_keys(config, AUTOENCODER_SECTIONS, "config of an autoencoder")
  else:
    check_keys(config, SECTIONS, "config")
    needed = (*needed, "process")
  for section in needed:
    if section not in config:
      raise UserError(f"the config lacks its section {section!r}.")
