"""Training of the semantic motion predictor (`models.motion_predictor`) on encoded clips."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.models import MotionPredictor
from stale_jax.training.state import State, accept, initial_state
from stale_jax.training.steps.train_step import Metrics, Needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionStep:
  """The `TrainStep` of a motion predictor. It keeps no moving average of the parameters.

  Its batch is not a `Batch` but an array with the codes of all clips; each step draws some of them.

  Attributes:
    predictor: the network.
    code: shape of the code of a frame.
    frames: frames per clip.
    rows: number of clips per step.
    optimizer: the optimizer.
    needs: empty: no part of a `Batch`.
  """

  predictor: MotionPredictor
  code: tuple[int, ...]
  frames: int
  rows: int
  optimizer: optax.GradientTransformation
  needs: Needs = frozenset()

  def init(self, key: PRNGKeyArray) -> State:
    """See `TrainStep`."""
    key_init, key_rows = jax.random.split(key)
    end = jnp.zeros((1, *self.code))
    params = self.predictor.init(key_init, end, end, self.frames)
    return initial_state(params, self.optimizer, key_rows).replace(ema=())

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`."""
    return state.replace(params=params)

  def step(self, state: State, batch: Float[Array, "clips frames *code"]) -> tuple[State, Metrics]:
    """See `TrainStep`; `batch` holds the codes of all clips."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    codes = batch[jax.random.randint(key, (self.rows,), 0, len(batch))]

    def loss(params):
      predicted = self.predictor.apply(params, codes[:, 0], codes[:, -1], self.frames)
      return jnp.mean(jnp.square(predicted - codes))

    value, grads = jax.value_and_grad(loss)(state.params)
    updates, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
    new = state.replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)
    return accept(new, state, jnp.isfinite(value)), {"loss": value}
