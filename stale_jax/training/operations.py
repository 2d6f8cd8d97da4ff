"""Counts the floating-point operations of the network of a system."""

import jax
import jax.numpy as jnp

from stale_jax.clip import floats
from stale_jax.flops import count
from stale_jax.system import System
from stale_jax.training.experiment import Experiment
from stale_jax.training.initial import example_batch


def step_flops(experiment: Experiment) -> float | None:
  """Model FLOPs of a training step on all devices, without recomputation; None if they are not counted."""
  training = experiment.training
  if training.passes is None:
    return None
  return training.passes * training.settings.batch * forward_flops(experiment)


def forward_flops(system: System) -> float:
  """FLOPs of the forward pass of one clip; of attention, only the pairs that the mask lets see each other."""
  one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), example_batch(system))
  t = jax.ShapeDtypeStruct((1, system.data.source.frames), jnp.float32)
  network = system.network.clone(attention="unfused")
  params = jax.eval_shape(network.init, jax.eval_shape(lambda: jax.random.key(0)))
  return count(network.apply, params, jax.eval_shape(floats, one.clip), t, one.context)
