"""Trains a config: the entry point of `experiments.train` and of notebooks."""

from collections.abc import Mapping
from typing import Any

from stale_jax.compilation import keep_compiled
from stale_jax.config import build, resolve
from stale_jax.errors import UserError
from stale_jax.files import AnyPath
from stale_jax.memory import keep_memory
from stale_jax.progress import Stage
from stale_jax.training.loop import train_loop
from stale_jax.training.state import State


def train(config: Mapping[str, Any], workdir: str | AnyPath, profile: tuple[int, int] | None = None) -> State:
  """Builds `config` and trains it in `workdir`, or continues the run that is there.

  Args:
    config: plain data; keys that are left out have their defaults.
    workdir: folder of the run: a path, or gs://BUCKET/FOLDER.
    profile: (start, stop), the steps to trace; the trace is written to `workdir`/profile.

  Returns:
    The state after the last step.

  Raises:
    UserError: `workdir` is empty; or as `build` and `train_loop`.
  """
  if not str(workdir):
    raise UserError("workdir is empty: give the folder of the run.")
  keep_compiled()
  keep_memory()
  with Stage("building the model and its data"):
    experiment = build(config)
  return train_loop(experiment, resolve(config), workdir, profile)
