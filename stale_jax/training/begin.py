"""The state that a run begins with: its own checkpoint, else given weights, else drawn parameters."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from stale_jax.checkpoints.load import model_at
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.errors import UserError
from stale_jax.training.feed import Feed
from stale_jax.training.program import TrainingProgram
from stale_jax.training.state import State


def given_params(name: str, like: Any) -> Any:
  """The weights that `name` stands for (`training.init_from`).

  Args:
    name: a run's folder, a weights file or a model of the package.
    like: parameters of the shapes that are needed.

  Raises:
    UserError: there are none, or they are of another model.
  """
  params, _ = model_at(name)
  wanted = jax.tree.map(lambda x: x.shape, like)
  if jax.tree.map(np.shape, params) != wanted:
    raise UserError(f"training.init_from={name}: those weights are of another model; use its config.")
  return params


def first_state(
  program: TrainingProgram,
  checkpoints: Checkpointer,
  feed: Feed,
  init_from: Callable[[], Any] | None,
  say: Callable[[str], None],
) -> State:
  """The state to go on from; the feed goes on from where that state was saved.

  Args:
    program: of the run.
    checkpoints: of the run.
    feed: of the run.
    init_from: gives the parameters to begin from if there is no checkpoint; None: they are drawn.
    say: shows a line to the user.
  """
  if restored := checkpoints.restore(program.state, say):
    state, data = restored
    feed.set_state(data)
    say(f"resuming {checkpoints.folder.parent} at step {int(state.step)}.")
    return state
  state = program.begin_from(init_from()) if init_from else program.fresh()
  checkpoints.prepare(state)
  return state
