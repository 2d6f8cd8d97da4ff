"""The defaults of every key; all other configs start from them.

python -m experiments.config --config=configs/base.py            (every key with its meaning and range)
python -m experiments.config --config=configs/base.py:folder     (with another source)

`get_config` returns the whole tree for the chosen variants; a config states only what differs from it.
"""

from collections.abc import Mapping
from typing import TypeVar

from ml_collections import ConfigDict

from stale_jax.config import default_config
from stale_jax.errors import UserError
from stale_jax.fields import nearest

Value = TypeVar("Value")


def get_config(
  source: str = "digits",
  *,
  process: str = "uniform_flow",
  times: str = "uniform",
  optimizer: str = "adamw",
) -> ConfigDict:
  """The defaults of a diffusion model; see `stale_jax/config/schema.py` for the variants."""
  return default_config(source=source, process=process, times=times, optimizer=optimizer)


def get_autoencoder_config(source: str = "digits", *, optimizer: str = "adamw") -> ConfigDict:
  """The defaults of an autoencoder."""
  return default_config(source=source, model="autoencoder", optimizer=optimizer)


def variant(name: str, values: Mapping[str, Value]) -> Value:
  """The value of a variant of a config, configs/CONFIG.py:NAME.

  Raises:
    UserError: there is no such variant.
  """
  if name not in values:
    raise UserError(f"unknown variant {name!r} of the config: {nearest(name, values)}")
  return values[name]
