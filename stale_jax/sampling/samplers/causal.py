"""Causal rollouts: a few frames at a time, with a KV cache of the frames before them.

As in CausVid (arXiv 2412.07772) and Self-Forcing (arXiv 2506.08009), for causal models that were trained with
a separate time for each frame. The cache has constant size (`models.kv_cache`).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np

from stale_jax.clip import Clip, Sense
from stale_jax.compilation import compiled
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.processes import Process, fold_keys, named_keys
from stale_jax.sampling.guiding import guidance_of, guiding_of
from stale_jax.sampling.samplers.causal_programs import Causal, causal_programs
from stale_jax.sampling.samplers.complete import every_sense
from stale_jax.sampling.samplers.kept import KeptFrames, MotionMeter, length, revival
from stale_jax.sampling.samplers.request import Request, parts_of, refuse
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.story import Story
from stale_jax.script import turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalRollout:
  """See `Sampler`. A chunk has `rollout.chunk` frames; the last one may be shorter.

  Attributes:
    network, process, senses: parts of the model.
    frames: number of frames of a training clip.
    rollout: see `Rollout`.
  """

  settings: ClassVar[tuple[str, ...]] = (
    "chunk",
    "window",
    "sinks",
    "sink_decay",
    "rope_jitter",
    "noise",
    "revive",
    "on_change",
  )
  network: Callable
  process: Process
  senses: tuple[Sense, ...]
  frames: int
  rollout: Rollout

  @classmethod
  def build(cls, rollout: Rollout, system) -> "CausalRollout":
    """See `Sampler`."""
    if not system.diffusion.causal:
      raise UserError("how='causal': the model is not causal; set model.causal and times.independent.")
    return cls(**parts_of(system), frames=system.data.source.frames, rollout=rollout)

  def programs(self, settings: Sampling, story: Story | None = None) -> Causal:
    """The programs for these settings; raises UserError if the rollout settings do not suit the model."""
    parts = self.network, self.process, self.senses, self.rollout, self.frames, settings.solver
    return causal_programs(*parts, guiding_of(settings, self.process, self.network), story)

  def __call__(self, params, request: Request) -> Iterator[Clip]:
    """See `Sampler`."""
    refuse(request, "causal", supports=("budget", "story", "script", "initial_noise"))
    programs = self.programs(request.settings, request.story)
    request.check_scripts(self.rollout.chunk, self.rollout.chunk)
    # All movies in a cache are treated alike, so movies whose prompts change at different frames need
    # different caches.
    together: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(request.prompts):
      together.setdefault(() if self.rollout.on_change == "keep" else turns(prompt), []).append(row)
    if len(together) == 1:
      return self._chunks(programs, params, request)
    if request.story:
      raise UserError("a story does not support scripts: give one prompt per panel.")
    rows = list(together.values())
    return by_rows([self._chunks(programs, params, request.take(some)) for some in rows], rows)

  def _chunks(self, programs: Causal, params, request: Request) -> Iterator[Clip]:
    keep, advance = compiled(Causal.keep), compiled(Causal.advance)
    how, keys, chunk = self.rollout, request.keys, self.rollout.chunk
    context_of = request.contexts(self.network.text_length)
    times, steps = request.grid(chunk, self.senses)
    steps = len(times) - 1 if steps is None else steps
    noise, context = np.full(len(request), how.noise, np.float32), context_of(0)
    cache = nothing = programs.start(params, times, context, keys)
    motion, past = MotionMeter(programs.room + chunk), KeptFrames(programs.room, programs.sinks)
    first = every_sense(request.first, self.senses) if request.first else {}
    given = length(first) if first else 0
    guidance = guidance_of(request.settings, given + request.frames)
    for number, at in enumerate(range(0, given, chunk)):  # The same chunks as in generation.
      part = {name: np.asarray(x[:, at : at + chunk]) for name, x in first.items()}
      own = fold_keys(named_keys(keys, "given"), number)
      cache = keep(programs, params, cache, part, context, noise, own)
      past.add(part)
    for number in range(-(-request.frames // chunk)):
      own = fold_keys(keys, number)
      if (now := context_of(number * chunk)).text is not context.text:
        context = now
        if number and how.on_change == "cut":
          cache = nothing
        elif number and how.on_change != "keep":
          seen = past.frames if how.on_change == "recache" else past.last(chunk)
          cache = keep(programs, params, None, seen, context, noise, fold_keys(own, 2))
      here = guidance.part(given + number * chunk, chunk)
      initial = request.initial_noise and _part(request.initial_noise, number * chunk, chunk)
      clip, cache = advance(
        programs, params, cache, times, context, noise, own, here.scale, here.interval, steps, initial
      )
      clip = on_host(clip)
      if how.on_change in ("flush", "recache"):
        past.add(clip)
      if how.revive:
        motion.add(clip)
      if motion.first is not None:
        dead = revival(motion.now, motion.first)
        noise = np.minimum(how.noise + how.revive * dead, 1).astype(np.float32)
      yield {name: x[:, : request.frames - number * chunk] for name, x in clip.items()}


def _part(clip: Clip, start: int, frames: int) -> Clip | None:
  """At most `frames` frames of `clip` from `start`; None if there are none."""
  part = {name: x[:, start : start + frames] for name, x in clip.items()}
  return part if length(part) else None


def by_rows(rollouts: Sequence[Iterator[Clip]], rows: Sequence[Sequence[int]]) -> Iterator[Clip]:
  """Merges rollouts of different movies into one, which yields chunks of all movies.

  Args:
    rollouts: iterators of chunks; all must have the same number of chunks.
    rows: for each rollout, the batch indices of its movies.
  """
  order = np.argsort(np.concatenate(rows))
  for parts in zip(*rollouts, strict=True):
    yield {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
