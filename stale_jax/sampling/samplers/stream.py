"""Movies of any length as a stream: one evaluation of the network per tick (`sampling.stream`).

Each chunk is denoised in few steps, by a student (`training/steps/self_forcing.py`). Unlike in a causal
rollout, a chunk sees earlier chunks with as much noise as it has itself, and all movies of a request share
one batch, whenever their prompts change.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np

from stale_jax.clip import Clip, Sense
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.processes import Process
from stale_jax.sampling.samplers.causal_programs import check_chunks
from stale_jax.sampling.samplers.request import Request, parts_of, refuse
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.stream.batch import Entering, StreamBatch, caption_encoder, stream_batch, ticking


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamRollout:
  """See `Sampler`. A chunk has `rollout.chunk` frames; the last one may be shorter.

  Attributes:
    network, process, senses: parts of the model.
    frames: number of frames of a training clip.
    rollout: see `Rollout`.
  """

  settings: ClassVar[tuple[str, ...]] = ("chunk", "window", "sinks", "on_change", "refresh", "negative")
  network: Callable
  process: Process
  senses: tuple[Sense, ...]
  frames: int
  rollout: Rollout

  @classmethod
  def build(cls, rollout: Rollout, system) -> "StreamRollout":
    """See `Sampler`."""
    if not system.diffusion.causal:
      raise UserError("how='stream': the model is not causal; set model.causal and times.independent.")
    if rollout.on_change not in ("keep", "cut"):
      raise UserError(f"how='stream' does not support on_change={rollout.on_change!r}: use 'keep' or 'cut'.")
    return cls(**parts_of(system), frames=system.data.source.frames, rollout=rollout)

  def programs(self, settings: Sampling) -> StreamBatch:
    """The stream batch for these settings; raises UserError if they do not suit it."""
    how, window = self.rollout, self.rollout.window or self.frames
    if settings.solver != "consistency":
      raise UserError(
        f"how='stream' noises each estimate anew: set solver to 'consistency', not {settings.solver!r}."
      )
    if settings.guidance_ramp:
      raise UserError("how='stream' has one scale of guidance: leave out guidance_ramp, or set guidance.")
    if settings.is_guided and (settings.guidance_kind != "cfg" or settings.skip_layers):
      raise UserError("how='stream' supports guidance_kind='cfg' only, without skip_layers.")
    check_chunks(self.senses, how.chunk, how.sinks, window)
    return stream_batch(
      self.network,
      self.process,
      self.senses,
      levels=tuple(np.asarray(settings.times(how.chunk, self.senses))[:-1, 0, 0].tolist()),
      chunk=how.chunk,
      window=window,
      sinks=how.sinks,
      refresh=how.refresh,
      negative=how.negative if settings.is_guided else None,
      interval=settings.interval,
    )

  def __call__(self, params, request: Request) -> Iterator[Clip]:
    """See `Sampler`."""
    programs = self.programs(request.settings)
    refuse(request, "stream", supports=("script",))
    if request.first:
      raise UserError("how='stream' cannot continue conditioning frames: set how to 'causal'.")
    request.check_scripts(self.rollout.chunk, self.rollout.chunk)
    return self._chunks(programs, params, request)

  def _chunks(self, programs: StreamBatch, params, request: Request) -> Iterator[Clip]:
    chunk, movies = self.rollout.chunk, len(request)
    context_of, tick = request.contexts(self.network.text_length), ticking()
    encode = caption_encoder(self.network)
    context = context_of(0)
    encoded = encode(params, context)
    state = programs.start(params, encoded, request.keys)
    count, made = -(-request.frames // chunk), 0
    for number in range(count + len(programs.levels) - 1):
      begins = np.zeros(movies, bool)
      if number < count and (now := context_of(number * chunk)).text is not context.text:
        if self.rollout.on_change == "cut":
          begins = np.any(np.asarray(now.text) != np.asarray(context.text), 1)
        context, encoded = now, encode(params, now)
      entering = Entering(
        which=np.full(movies, number < count),
        begins=begins,
        context=encoded,
        source=None,
        scale=np.ones(movies, np.float32),
      )
      state, emitted = tick(programs, params, state, entering, np.float32(request.settings.guidance))
      if number >= len(programs.levels) - 1:
        clip = on_host(emitted.clip)
        yield {name: x[:, : request.frames - made * chunk] for name, x in clip.items()}
        made += 1
