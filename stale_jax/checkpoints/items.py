"""What a checkpoint consists of: the item `state`, arrays, and the item `rest`, JSON."""

from typing import Any

import jax
import orbax.checkpoint as ocp


def open_manager(folder: Any, options: ocp.CheckpointManagerOptions | None = None) -> ocp.CheckpointManager:
  """The manager of the checkpoints in `folder`.

  Arrays are always restored to given shardings: Orbax writes no file that describes those of the run, which
  took a good part of the time of a save, nor its list of chunks.
  """
  arrays = ocp.type_handlers.ArrayHandler(enable_write_sharding_file=False)
  registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
  state = ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
  handlers = {"state": state, "rest": ocp.JsonCheckpointHandler()}
  return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


def saving(parts: dict[str, Any], rest: dict[str, Any]) -> ocp.args.Composite:
  """Arguments to save the arrays `parts`, and `rest`, which is JSON."""
  return ocp.args.Composite(state=ocp.args.PyTreeSave(parts), rest=ocp.args.JsonSave(rest))


def restoring(like: dict[str, Any], partial: bool = False) -> ocp.args.PyTreeRestore:
  """Arguments to restore the parts in `like`, arrays or their shapes and shardings.

  If `partial`, the checkpoint may have other parts, of which nothing is read.
  """
  how = ocp.checkpoint_utils.construct_restore_args(like)
  return ocp.args.PyTreeRestore(like, restore_args=how, partial_restore=partial)
