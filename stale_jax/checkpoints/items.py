"""The items of a checkpoint: `state`, which consists of arrays, and `rest`, which is JSON."""

from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from stale_jax.checkpoints.quiet import silence
from stale_jax.files import read_object

silence()


def open_manager(folder: Any, options: ocp.CheckpointManagerOptions | None = None) -> ocp.CheckpointManager:
  """The Orbax manager of the checkpoints in `folder`.

  Arrays are always restored to given shardings, so Orbax does not write the file that describes the run's own
  shardings. Writing it took a considerable part of the time of a save. The list of chunks is not written
  either.

  Raises:
    UserError: the file of a checkpoint that Orbax reads at once is damaged.
  """
  arrays = ocp.type_handlers.ArrayHandler(enable_write_sharding_file=False)
  registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
  state = ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
  handlers = {"state": state, "rest": ocp.JsonCheckpointHandler()}
  try:
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)
  except ValueError:
    for path in epath.Path(folder).glob("*/_CHECKPOINT_METADATA"):
      read_object(path, "delete it: a checkpoint can be read without it")
    raise


def saving(parts: dict[str, Any], rest: dict[str, Any]) -> ocp.args.Composite:
  """Orbax arguments for saving the arrays `parts` and the JSON `rest`."""
  return ocp.args.Composite(state=ocp.args.PyTreeSave(parts), rest=ocp.args.JsonSave(rest))


def restoring(like: dict[str, Any], partial: bool = False) -> ocp.args.PyTreeRestore:
  """Orbax arguments for restoring arrays.

  Args:
    like: name of a part -> its arrays, or their shapes and shardings.
    partial: whether the checkpoint may have further parts; they are not read.
  """
  restore_args = ocp.checkpoint_utils.construct_restore_args(like)
  return ocp.args.PyTreeRestore(like, restore_args=restore_args, partial_restore=partial)
