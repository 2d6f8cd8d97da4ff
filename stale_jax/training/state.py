"""The training state: everything that one step passes on to the next."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from stale_jax.training.ema import Ema


@flax.struct.dataclass
class Skipped:
  """Counts of the steps that were skipped because their loss or gradient was not finite.

  Attributes:
    total: number of all skipped steps.
    row: number of skipped steps in a row, up to the latest step; 0 if the latest step was not skipped.
    longest: greatest value of `row` so far.
    last: the latest skipped step, counted from 0; -1 if there is none.
  """

  total: Int[Array, ""]
  row: Int[Array, ""]
  longest: Int[Array, ""]
  last: Int[Array, ""]

  @classmethod
  def none(cls) -> "Skipped":
    """The counts before the first step."""
    return cls(*(jnp.full((), value, jnp.int32) for value in (0, 0, 0, -1)))

  def after(self, step: Int[Array, ""], finite: Bool[Array, ""]) -> "Skipped":
    """The counts after `step`, which is skipped if it is not `finite`."""
    row = jnp.where(finite, 0, self.row + 1)
    return Skipped(
      total=self.total + ~finite,
      row=row,
      longest=jnp.maximum(self.longest, row),
      last=jnp.where(finite, self.last, step),
    )


@flax.struct.dataclass
class State:
  """The training state. A checkpoint stores all of it, except `base`.

  Attributes:
    step: number of completed updates.
    params: the trained parameters, in float32: of the network, or of its adapter (`models.adapters`).
    opt_state: state of the optimizer.
    ema: moving average of `params`, which generation uses.
    tracks: power-function averages of `params`, if the run takes snapshots of them.
    extra: further state of one kind of training (see `training.steps`), or ().
    key: `jax.random.key_data` of the run's PRNG key; every step folds its number into the key.
    skipped: counts of the steps that changed nothing else.
    base: the network's parameters if an adapter is trained, else (). They never change, so that a resumed run
      reads them from `training.init_from` again.
  """

  step: Int[Array, ""]
  params: Any
  opt_state: Any
  ema: Any
  key: Array
  skipped: Skipped
  tracks: tuple = ()
  extra: Any = ()
  base: Any = ()


def initial_state(
  params, optimizer: optax.GradientTransformation, key: PRNGKeyArray, tracks: tuple = ()
) -> State:
  """The state before the first step."""
  return State(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    ema=jax.tree.map(jnp.copy, params),
    key=jax.random.key_data(key),
    skipped=Skipped.none(),
    tracks=tracks,
  )


def drawn_state(
  draw: Callable[[PRNGKeyArray], Any], optimizer: optax.GradientTransformation, ema: Ema, key: PRNGKeyArray
) -> State:
  """The state before the first step, with parameters drawn from one half of `key`.

  Args:
    draw: PRNG key -> parameters.
    optimizer: the optimizer.
    ema: settings of the moving averages.
    key: PRNG key; the run continues with its other half.
  """
  key_init, key_run = jax.random.split(key)
  params = draw(key_init)
  return initial_state(params, optimizer, key_run, ema.start(params))


def update(state: State, grads, loss, optimizer: optax.GradientTransformation, ema: Ema) -> State:
  """Takes one optimizer step.

  If the loss or the gradient is not finite, only the counts of steps and of skipped steps change.
  """
  finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
  return accept(descend(state, grads, optimizer, ema), state, finite)


def descend(state: State, grads, optimizer: optax.GradientTransformation, ema: Ema) -> State:
  """Takes one optimizer step: returns the state with new parameters, averages and optimizer state.

  The count of steps is not advanced; see `accept`.
  """
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return state.replace(
    params=params,
    opt_state=opt_state,
    ema=ema(state.ema, params, state.step),
    tracks=ema.follow(state.tracks, params, state.step),
  )


def accept(new: State, state: State, finite) -> State:
  """Completes a step: returns `new`, or `state` if the step was not finite. In both cases it is counted.

  Args:
    new: the state after the update.
    state: the state before it.
    finite: whether the loss and the gradients of the step are finite.
  """
  new = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
  return new.replace(step=state.step + 1, skipped=state.skipped.after(state.step, finite))
