"""The training state: everything that one step passes on to the next."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from stale_jax.training.ema import Ema


@flax.struct.dataclass
class State:
  """The training state. A checkpoint stores all of it.

  Attributes:
    step: number of completed updates.
    params: the parameters, in float32.
    opt_state: state of the optimizer.
    ema: moving average of `params`, which generation uses.
    tracks: power-function averages of `params`, if the run takes snapshots of them.
    extra: further state of one kind of training (see `training.steps`), or ().
    key: `jax.random.key_data` of the run's PRNG key; every step folds its number into the key.
    bad_step: the first step whose loss or gradient was not finite, or -1. From this step on, only `step`
      changes, so the loop need not check after every step.
  """

  step: Int[Array, ""]
  params: Any
  opt_state: Any
  ema: Any
  key: Array
  bad_step: Int[Array, ""]
  tracks: tuple = ()
  extra: Any = ()


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
    bad_step=jnp.full((), -1, jnp.int32),
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

  If the loss or the gradient of this step or of an earlier one is not finite, only the count of steps (and,
  at the first such step, `bad_step`) changes.
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
  """Completes a step: returns `new`, or `state` if this step or an earlier one was not finite.

  In both cases the count of steps advances by one.

  Args:
    new: the state after the update.
    state: the state before it.
    finite: whether the loss and the gradients of the step are finite.
  """
  good = finite & (state.bad_step < 0)
  new = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, state)
  bad_step = jnp.where(good | (state.bad_step >= 0), state.bad_step, state.step)
  return new.replace(step=state.step + 1, bad_step=bad_step)
