"""A training run, from its config to its weights."""

from collections.abc import Mapping
from typing import Any

from stale_jax.compilation import keep_compiled
from stale_jax.config import build, resolve
from stale_jax.files import AnyPath
from stale_jax.memory import keep_memory
from stale_jax.training.loop import train_loop
from stale_jax.training.state import State


def train(config: Mapping[str, Any], workdir: str | AnyPath, profile: tuple[int, int] | None = None) -> State:
  """Builds `config` and trains it in `workdir`, or goes on where the last call there stopped.

  Args:
    config: plain data; keys that it leaves out have their defaults.
    workdir: the run's folder: a path, or gs://BUCKET/FOLDER.
    profile: (start, stop), the steps of which a trace is written to the folder's `profile`.

  Returns:
    The state after the last step.

  Raises:
    UserError: as `build` and `train_loop`.
  """
  keep_compiled()
  keep_memory()
  return train_loop(build(config), resolve(config), workdir, profile)
