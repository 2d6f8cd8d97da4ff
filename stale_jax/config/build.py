"""Builds the objects of an experiment from a config. No other part of the package reads a config."""

from collections.abc import Mapping
from typing import Any

from stale_jax.config.resolve import resolve
from stale_jax.config.schema import is_autoencoder
from stale_jax.config.system import build_autoencoder_system, build_diffusion_system
from stale_jax.config.training import build_training
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.models.merging import MERGED
from stale_jax.system import Data, System
from stale_jax.training.experiment import Experiment


def build_system(config: Mapping[str, Any]) -> System:
  """Builds data, network and diffusion, which sampling and evaluation need; nothing for training.

  Raises:
    UserError: a section, key or name is unknown, or values are inconsistent.
  """
  tree = resolve(config)
  return build_autoencoder_system(tree) if is_autoencoder(tree) else build_diffusion_system(tree)


def build(config: Mapping[str, Any]) -> Experiment:
  """Builds every section of `config`; sections that are left out have their defaults.

  Raises:
    UserError: a section, key or name is unknown, or values are inconsistent.
  """
  system = build_system(config)
  experiment = Experiment(
    data=system.data,
    network=system.network,
    diffusion=system.diffusion,
    training=build_training(resolve(config), system),
  )
  if not experiment.is_autoencoder:
    _check_attention(experiment)
  experiment.training.step.check(experiment)
  return experiment


def _check_attention(experiment: Experiment) -> None:
  """Raises UserError if attention does not support what the config needs."""
  network, training = experiment.network, experiment.training
  network.check_mesh(training.mesh)
  source = experiment.data.source.largest
  senses = build_senses([sense.name for sense in experiment.data.senses], source)
  tokens = Data(source=source, senses=senses).tokens
  if network.merge and tokens > MERGED:
    raise UserError(
      f"model.merge=True holds the attention of all pairs of tokens, and a clip has {tokens} tokens, more "
      f"than {MERGED}: set model.merge=False, or make the clips smaller."
    )
