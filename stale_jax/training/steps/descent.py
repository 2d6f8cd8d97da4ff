"""Gradient descent on a loss: the training step of denoisers and autoencoders."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Batch, floats
from stale_jax.training.ema import Ema
from stale_jax.training.state import State, drawn_state, update
from stale_jax.training.steps.train_step import Metrics, Needs

# (parameters, batch, key) -> (loss, metrics)
Loss = Callable[[Any, Batch, PRNGKeyArray], tuple[jax.Array, Metrics]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Descent:
  """A `TrainStep` that follows the gradient of a loss, possibly accumulated over parts of a batch.

  Attributes:
    draw: PRNG key -> initial parameters.
    loss: the loss to minimise.
    optimizer: the optimizer.
    ema: moving averages of the parameters.
    needs: parts of a batch that `loss` reads.
    accumulate: number of parts that a batch is split into; the gradient is their mean.
  """

  draw: Callable[[PRNGKeyArray], Any]
  loss: Loss
  optimizer: optax.GradientTransformation
  ema: Ema
  needs: Needs
  accumulate: int = 1

  def init(self, key: PRNGKeyArray) -> State:
    """See `TrainStep`."""
    return drawn_state(self.draw, self.optimizer, self.ema, key)

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`."""
    return state.replace(params=params, ema=params)

  def step(self, state: State, batch: Any) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    grads, metrics = self._gradient(state.params, batch, key)
    metrics = {**metrics, "gradient_norm": optax.tree.norm(grads)}
    return update(state, grads, metrics["loss"], self.optimizer, self.ema), metrics

  def _gradient(self, params, batch: Any, key: PRNGKeyArray) -> tuple[Any, Metrics]:
    gradient = jax.grad(self.loss, has_aux=True)
    if self.accumulate == 1:
      return gradient(params, batch, key)
    # Each part takes every n-th example, so that it is sharded over the same devices as the batch.
    parts = jax.tree.map(lambda x: jnp.reshape(x, (-1, self.accumulate, *x.shape[1:])).swapaxes(0, 1), batch)

    def add(total, numbered_part):
      number, part = numbered_part
      new = gradient(params, part, jax.random.fold_in(key, number))
      return jax.tree.map(lambda a, b: a + b / self.accumulate, total, new), None

    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], parts), key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(add, zeros, (jnp.arange(self.accumulate), parts))[0]


def on_floats(loss: Loss) -> Loss:
  """Wraps `loss` so that pictures in a batch may be bytes; they are converted to floats (`clip.floats`)."""

  def loss_of_bytes(params, batch: Batch, key: PRNGKeyArray):
    return loss(params, batch.replace(clip=floats(batch.clip)), key)

  return loss_of_bytes
