"""Everything that training carries from step to step."""

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
  """One checkpoint's worth of training.

  Attributes:
    step: updates done.
    params: float32.
    opt_state: the optimizer's.
    ema: moving average of `params`: what is sampled from.
    tracks: power-function averages of `params`, if the run takes snapshots of them.
    extra: what one kind of training keeps besides (`training.steps`); () if it keeps nothing.
    key: data of the run's PRNG key; every step folds its number into it.
    bad_step: the first step whose loss or gradient was not finite; -1 while there is none.
      From then on nothing is updated, so that the loop may look late.
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
  """The state before the first step, of parameters drawn from a part of `key`."""
  key_init, key_run = jax.random.split(key)
  params = draw(key_init)
  return initial_state(params, optimizer, key_run, ema.start(params))


def update(state: State, grads, loss, optimizer: optax.GradientTransformation, ema: Ema) -> State:
  """One optimizer step, or none if anything is or was not finite."""
  finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
  return accept(descend(state, grads, optimizer, ema), state, finite)


def descend(state: State, grads, optimizer: optax.GradientTransformation, ema: Ema) -> State:
  """The parameters and their averages after one optimizer step."""
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return state.replace(
    params=params,
    opt_state=opt_state,
    ema=ema(state.ema, params, state.step),
    tracks=ema.follow(state.tracks, params, state.step),
  )


def accept(new: State, state: State, finite) -> State:
  """`new` as one step more; nothing of it but the count if anything is or was not finite."""
  good = finite & (state.bad_step < 0)
  new = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, state)
  bad_step = jnp.where(good | (state.bad_step >= 0), state.bad_step, state.step)
  return new.replace(step=state.step + 1, bad_step=bad_step)
