"""Stream files: the state of a stream batch in one safetensors file, to continue it on another machine."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, at, local_copy, one_line, write_whole
from stale_jax.mesh import on_host, path_name
from stale_jax.sampling.stream.batch import StreamState

_KIND = "stale_jax stream"


def save_stream(path: str | AnyPath, state: StreamState) -> None:
  """Writes the state of a stream batch atomically, bit by bit.

  Args:
    path: the file.
    state: the state between two ticks, also of a single stream (`sampling.stream.slots`). Weights and
      settings are not stored.
  """
  tensors = {name: np.ascontiguousarray(_bits(on_host(x))) for name, x in _parts(state).items()}
  write_whole(at(path), save(tensors, metadata={"kind": _KIND}))


def load_stream(path: str | AnyPath, template: StreamState) -> StreamState:
  """Reads a stream file; the stream batch goes on with the same bits.

  Args:
    path: the file.
    template: a state of the same stream batch, for example that of `StreamBatch.start`, or its shapes.

  Raises:
    UserError: there is no such file, or it holds a stream batch of other shapes.
  """
  path = at(path)
  if not path.is_file():
    raise UserError(f"no stream at {path}: give a file that save_stream wrote.")
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as file:
      kind = (file.metadata() or {}).get("kind")
      stored = {name: file.get_tensor(name) for name in file.keys()} if kind == _KIND else {}
  except (SafetensorError, OSError) as error:
    reason = one_line(error)
    raise UserError(f"{path} is no stream file: {reason}; give one that save_stream wrote.") from error
  if not stored:
    raise UserError(f"{path} is no stream file: give one that save_stream wrote.")
  wanted = jax.eval_shape(_parts, template)
  _check(path, stored, wanted)

  def read(path, _):
    name = path_name(path)
    x = jnp.asarray(stored[name].view(wanted[name].dtype))
    return jax.random.wrap_key_data(x) if name == "keys" else x

  return jax.tree_util.tree_map_with_path(read, template)


def _parts(state: StreamState) -> dict[str, Array]:
  """Name -> array; the keys as their data."""
  state = state.replace(keys=jax.random.key_data(state.keys))
  return {path_name(path): x for path, x in jax.tree_util.tree_leaves_with_path(state)}


def _bits(x: np.ndarray) -> np.ndarray:
  """`x`, as integers of the same bits if NumPy itself lacks its type, as bfloat16."""
  return x if x.dtype.isbuiltin else x.view(f"uint{8 * x.dtype.itemsize}")


def _check(path: AnyPath, stored: dict[str, np.ndarray], wanted: dict[str, Any]) -> None:
  """Raises UserError, in one line, if the shapes or types differ."""
  advice = "load it with the model and the settings that it was saved with"
  if stored.keys() == wanted.keys():
    levels, streams = stored["rows/number"].shape
    expected = wanted["rows/number"].shape
    if (levels, streams) != expected:
      raise UserError(
        f"{path} holds {streams} stream(s) of {levels} level(s), but this batch has {expected[1]} stream(s) "
        f"of {expected[0]} level(s); {advice}, and move single streams by take_stream and put_stream."
      )
  for name in sorted(stored.keys() | wanted.keys()):
    there = _bits(np.zeros(wanted[name].shape, wanted[name].dtype)) if name in wanted else None
    found = stored.get(name)
    if there is None or found is None or (there.shape, there.dtype) != (found.shape, found.dtype):
      raise UserError(f"{path} was saved from another stream batch: {name} differs; {advice}.")
