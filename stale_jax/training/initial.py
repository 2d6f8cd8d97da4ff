"""Initial parameters of a network, and an example batch that has the shapes of training."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Batch, floats
from stale_jax.data import collate, first_stored
from stale_jax.errors import UserError
from stale_jax.system import System


def init_params(system: System, key: PRNGKeyArray):
  """Initial parameters of the network, drawn from `key`."""
  return initializer(system)(key)


def initializer(system: System) -> Callable[[PRNGKeyArray], Any]:
  """Returns a function from a PRNG key to initial parameters.

  `initializer` itself may read an example of the data, but the returned function does not and can be traced.
  """
  if not system.is_autoencoder:
    return jax.jit(system.network.init)
  clip = floats(example_batch(system).clip)
  return lambda key: jax.jit(system.network.init)({"params": key, "latent": key}, clip)


def example_batch(system: System) -> Batch:
  """Returns a batch of one example: the first one of the training data.

  Raises:
    UserError: the example cannot be read, or it does not consist of tokens although the process is discrete.
  """
  source, network = system.data.source, system.network
  micro = () if system.is_autoencoder else network.micro
  example = collate([first_stored(source)], system.data.senses, network.text_length, source.labels, micro)
  if not system.is_autoencoder and system.diffusion.process.is_discrete:
    _check_tokens(example)
  return example


def _check_tokens(example: Batch) -> None:
  for name, x in floats(example.clip).items():
    if (np.abs(x) != 1).any() or ((x > 0).sum(-1) != 1).any():
      raise UserError(
        f"process uniform_tokens needs tokens, which are one-hot vectors of -1 and 1, but {name} holds other "
        "values; use another process or source."
      )
