"""A stream batch whose transformer blocks are spread over several devices.

Each device holds a contiguous range of the blocks, and the KV caches of these blocks (StreamDiffusionV2,
arXiv 2511.07399, sec. 3.2). A tick passes through the devices in turn. All calls are asynchronous, so with
several stream batches, ticked in turn, one device works on one batch while the next works on another.

What is computed is what `StreamBatch.tick` computes. The programs are smaller ones, so that values may differ
in their last bits; the same stages on fewer devices return the same bits.
"""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from stale_jax.clip import Context
from stale_jax.compilation import compiler_options
from stale_jax.errors import UserError
from stale_jax.models.kv_cache import KVCache
from stale_jax.sampling.stream.balance import stages
from stale_jax.sampling.stream.batch import Emitted, Entering, Rows, StreamBatch, StreamState


@flax.struct.dataclass
class PipelineState:
  """A `StreamState` in parts.

  Attributes:
    rows, keys, count: see `StreamState`; on the first device.
    caches: for each device, the caches of its blocks.
  """

  rows: Rows
  keys: Key[Array, "streams"]
  count: Int[Array, "streams"]
  caches: tuple[KVCache, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockPipeline:
  """The programs of a pipeline.

  Attributes:
    stream: the stream batch.
    devices: the devices, one per stage; a device may have several stages.
    blocks: number of blocks of each stage; see `balance`.
  """

  stream: StreamBatch
  devices: tuple[Any, ...]
  blocks: tuple[int, ...]

  def __post_init__(self):
    model = self.stream.model
    if model.turns or model.merge or model.skip:
      raise UserError("a model with turns, merging or skipped blocks cannot be divided over devices.")
    if len(self.blocks) != len(self.devices) or sum(self.blocks) != model.depth or min(self.blocks) < 1:
      raise UserError(
        f"{self.blocks} are no numbers of blocks for {len(self.devices)} devices and {model.depth} blocks."
      )

  def place(self, params: Any) -> tuple[Any, ...]:
    """For each stage, the parameters of its blocks, and those outside of the blocks, on its device."""
    parts = []
    for blocks, device in zip(stages(self.blocks), self.devices, strict=True):
      own = jax.tree.map(lambda x, blocks=blocks: x[blocks.start : blocks.stop], params["params"]["blocks"])
      parts.append(jax.device_put({**params, "params": {**params["params"], "blocks": own}}, device))
    return tuple(parts)

  def split(self, state: StreamState) -> PipelineState:
    """The state of a stream batch, placed on the devices."""
    caches = []
    for blocks, device in zip(stages(self.blocks), self.devices, strict=True):
      names = [f"block_{block}" for block in blocks]
      part = state.cache.replace(
        keys={name: state.cache.keys[name] for name in names},
        values={name: state.cache.values[name] for name in names},
      )
      # Copies, since stages on one device would otherwise donate the same array.
      caches.append(jax.tree.map(jnp.copy, jax.device_put(part, device)))
    rows, keys, count = jax.device_put((state.rows, state.keys, state.count), self.devices[0])
    return PipelineState(rows=rows, keys=keys, count=count, caches=tuple(caches))

  def join(self, state: PipelineState) -> StreamState:
    """Inverse of `split`, on the first device: to save it, or to `split` it over other stages."""
    caches = [jax.device_put(cache, self.devices[0]) for cache in state.caches]
    cache = caches[0].replace(
      keys={name: x for part in caches for name, x in part.keys.items()},
      values={name: x for part in caches for name, x in part.values.items()},
    )
    return StreamState(rows=state.rows, cache=cache, keys=state.keys, count=state.count)

  def start(self, params: Any, context: Context, keys: Key[Array, "streams"]) -> PipelineState:
    """The state before the first tick; see `StreamBatch.start`."""
    return self.split(self.stream.start(params, context, keys))

  def tick(
    self,
    parts: Sequence[Any],
    state: PipelineState,
    entering: Entering,
    scale: Float[Array, ""],
    seconds: list[float] | None = None,
  ) -> tuple[PipelineState, Emitted]:
    """See `StreamBatch.tick`. The caches in `state` are donated.

    Args:
      parts: the parameters from `place`.
      state: the state after the previous tick.
      entering: what enters.
      scale: scale of guidance.
      seconds: if given, the time of each stage is appended, and the stages wait for one another.
    """
    programs = _programs(self.stream, self.blocks)
    first, *_, last = self.devices
    rows = programs.enter(*jax.device_put((state.rows, state.keys, state.count, entering), first))
    streams, caches = None, []
    for stage, device in enumerate(self.devices):
      began = time.perf_counter()
      given = jax.device_put((rows, streams), device)
      streams, cache = programs.stages[stage](parts[stage], state.caches[stage], *given)
      caches.append(cache)
      if seconds is not None:
        jax.block_until_ready((streams, cache))
        seconds.append(time.perf_counter() - began)
    rows, emitted = programs.leave(*jax.device_put((rows, streams, state.keys, scale), last))
    rows, count = jax.device_put((rows, state.count + entering.which.astype(jnp.int32)), first)
    return state.replace(rows=rows, count=count, caches=tuple(caches)), emitted


@dataclasses.dataclass(frozen=True)
class _Programs:
  """The compiled programs: what enters, the stages, the last of which returns outputs, and what leaves."""

  enter: Any
  stages: tuple[Any, ...]
  leave: Any


@functools.cache
def _programs(stream: StreamBatch, blocks: tuple[int, ...]) -> _Programs:
  whole, options = stream.model.network, compiler_options()

  def enter(rows, keys, count, entering):
    state = StreamState(rows=rows, cache=None, keys=keys, count=count)
    return stream.enter(state, entering)

  def stage(network, is_last, params, cache, rows, streams):
    params, cache = params["params"], stream.begin(rows, cache)
    entered = network.enter(params, *stream.inputs(rows), cache)
    streams = entered.inputs.streams if streams is None else streams
    streams, aux = network.run_trunk(params, entered, streams, return_aux=("keys", "values"))
    new = tuple({block: x[kind] for block, x in aux.items()} for kind in ("keys", "values"))
    out = network.leave(params, entered, streams)[0] if is_last else streams
    return out, stream.remember(rows, cache, new)

  ranges = stages(blocks)
  return _Programs(
    enter=jax.jit(enter, compiler_options=options),
    stages=tuple(
      jax.jit(
        functools.partial(stage, whole.part(own), own is ranges[-1]),
        compiler_options=options,
        donate_argnums=1,
      )
      for own in ranges
    ),
    leave=jax.jit(stream.leave, compiler_options=options),
  )
