"""Every key of a config, with its default: what all other files here start from.

python -m experiments.config --config=configs/base.py            (each key with its meaning and range)
python -m experiments.config --config=configs/base.py:folder     (those of another source)

`get_config` returns the whole tree for the chosen variants; a config states what differs from it.
"""

from ml_collections import ConfigDict

from stale_jax.config import default_config


def get_config(
  source: str = "digits",
  *,
  process: str = "uniform_flow",
  times: str = "uniform",
  optimizer: str = "adamw",
) -> ConfigDict:
  """Of a diffusion model; see `stale_jax/config/schema.py` for the variants."""
  return default_config(source=source, process=process, times=times, optimizer=optimizer)


def get_autoencoder_config(source: str = "digits", *, optimizer: str = "adamw") -> ConfigDict:
  """Of an autoencoder."""
  return default_config(source=source, model="autoencoder", optimizer=optimizer)
