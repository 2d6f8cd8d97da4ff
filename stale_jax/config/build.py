"""From a config to the objects of an experiment, once; no code below reads a config."""

from collections.abc import Mapping
from typing import Any

from stale_jax.config.resolve import resolve
from stale_jax.config.schema import is_autoencoder
from stale_jax.config.system import build_autoencoder_system, build_diffusion_system
from stale_jax.config.training import build_training
from stale_jax.models.attention import check_backend
from stale_jax.system import System
from stale_jax.training.experiment import Experiment


def build_system(config: Mapping[str, Any]) -> System:
  """Builds what samples and evaluates: data, network and diffusion; nothing of the training.

  Raises:
    UserError: an unknown section, key or name, or values that do not fit one another.
  """
  tree = resolve(config)
  return build_autoencoder_system(tree) if is_autoencoder(tree) else build_diffusion_system(tree)


def build(config: Mapping[str, Any]) -> Experiment:
  """Builds every section of `config`; sections left out take their defaults.

  Raises:
    UserError: an unknown section, key or name, or values that do not fit one another.
  """
  system = build_system(config)
  experiment = Experiment(
    data=system.data,
    network=system.network,
    diffusion=system.diffusion,
    training=build_training(resolve(config), system),
  )
  if not experiment.is_autoencoder:
    _check_backend(experiment)
  experiment.training.step.check(experiment)
  return experiment


def _check_backend(experiment: Experiment) -> None:
  """Raises UserError if the network's attention cannot do what the rest of the config needs of it."""
  network, training = experiment.network, experiment.training
  check_backend(
    network.attention,
    dtype=network.dtype,
    senses=len(network.senses),
    joint=network.forms == "none" and not network.merge,
    mesh=training.mesh,
  )
