"""Training by the gradient of a loss: what denoisers and autoencoders share."""

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
  """A `TrainStep` that follows the gradient of a loss.

  Attributes:
    draw: key -> parameters.
    loss: what is minimised.
    optimizer: turns gradients into updates.
    ema: moving averages of the parameters.
    needs: parts of a batch that `loss` reads.
    accumulate: parts that a batch is cut into; the gradient is the mean over them.
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

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    grads, metrics = self._gradient(state.params, batch, key)
    metrics = {**metrics, "gradient_norm": optax.tree.norm(grads)}
    return update(state, grads, metrics["loss"], self.optimizer, self.ema), metrics

  def _gradient(self, params, batch: Batch, key: PRNGKeyArray) -> tuple[Any, Metrics]:
    gradient = jax.grad(self.loss, has_aux=True)
    if self.accumulate == 1:
      return gradient(params, batch, key)
    # Every n-th example, so that each part lies on all the devices that the batch lies on.
    parts = jax.tree.map(lambda x: jnp.reshape(x, (-1, self.accumulate, *x.shape[1:])).swapaxes(0, 1), batch)

    def add(total, numbered):
      number, part = numbered
      new = gradient(params, part, jax.random.fold_in(key, number))
      return jax.tree.map(lambda a, b: a + b / self.accumulate, total, new), None

    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], parts), key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(add, zeros, (jnp.arange(self.accumulate), parts))[0]


def on_floats(loss: Loss) -> Loss:
  """`loss` of batches whose pictures may still be bytes (`clip.floats`)."""

  def of_bytes(params, batch: Batch, key: PRNGKeyArray):
    return loss(params, batch.replace(clip=floats(batch.clip)), key)

  return of_bytes
