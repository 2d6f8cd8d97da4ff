"""The state that a run starts from: its latest checkpoint, else `training.init_from`, else a random draw."""

from collections.abc import Callable
from typing import Any

from stale_jax.checkpoints.base import check_base, record_base
from stale_jax.checkpoints.fit import difference
from stale_jax.checkpoints.load import model_at
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.errors import UserError
from stale_jax.training.feed import Feed
from stale_jax.training.program import TrainingProgram
from stale_jax.training.state import State


def load_params(name: str, like: Any) -> Any:
  """Loads the weights of `training.init_from`.

  Args:
    name: a run's folder, a weights file or the name of a packaged model.
    like: parameters, or shapes, of the model to train.

  Raises:
    UserError: there are no such weights, or their shapes are those of another model.
  """
  params, _ = model_at(name)
  if text := difference(params, like, "the weights", "this config"):
    raise UserError(
      f"training.init_from={name}: these weights are of another model: {text}; use the config of that model."
    )
  return params


def first_state(
  program: TrainingProgram,
  checkpoints: Checkpointer,
  feed: Feed,
  init_from: str,
  read: Callable[[], Any],
  say: Callable[[str], None],
) -> State:
  """Returns the state that a run starts or resumes from. A resumed run also restores the position of `feed`.

  Args:
    program: the run's compiled step.
    checkpoints: the run's checkpoints.
    feed: the run's batches.
    init_from: `training.init_from`; "" draws the parameters at random.
    read: returns the weights of `init_from`. They are needed if there is no checkpoint, or for an adapter.
    say: prints a line for the user.
  """
  folder, has_base = checkpoints.folder.parent, bool(program.state.base)
  if restored := checkpoints.restore(program.state, say):
    state, data = restored
    if has_base:
      state = state.replace(base=program.begin_from(read()).base)
      check_base(folder, state.base)
    feed.set_state(data)
    say(f"resuming {folder} at step {int(state.step)}.")
    return state
  state = program.begin_from(read()) if init_from else program.fresh()
  if has_base:
    record_base(folder, init_from, state.base)
  checkpoints.prepare(state)
  return state
