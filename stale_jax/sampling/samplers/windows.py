"""Sampler that makes movies in windows: whole clips, each starting with the last frames of the previous one.

With one conditioning frame this is last-frame chaining; with more, the windows overlap. For models that were
trained to continue conditioning frames (`objectives.first_frames`) or with a separate time for each frame.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar

import jax.numpy as jnp

from stale_jax.clip import Clip, Sense
from stale_jax.compilation import compiled
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.processes import Process, fold_keys
from stale_jax.sampling.guiding import guidance_of
from stale_jax.sampling.samplers.all_frames import ClipProgram, clip_program, refuse_next_frame
from stale_jax.sampling.samplers.kept import length
from stale_jax.sampling.samplers.request import Request, parts_of, refuse
from stale_jax.sampling.samplers.rollout import Rollout


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
  """See `Sampler`. A chunk is the new frames of one window.

  Attributes:
    network, process, senses: parts of the model.
    frames: number of frames of a window.
    conditioning_frames: number of last frames of a window with which the next one starts.
    noise: the time to which the conditioning frames are noised.
  """

  settings: ClassVar[tuple[str, ...]] = ("conditioning_frames", "noise")
  network: Callable
  process: Process
  senses: tuple[Sense, ...]
  frames: int
  conditioning_frames: int
  noise: float

  def __post_init__(self):
    if self.conditioning_frames >= self.frames:
      raise UserError(
        f"rollout.conditioning_frames={self.conditioning_frames} leaves no new frame in a window of "
        f"{self.frames} frames; use at most {self.frames - 1}."
      )

  @classmethod
  def build(cls, rollout: Rollout, system) -> "Windows":
    """See `Sampler`."""
    refuse_next_frame(system, "windows")
    if not system.diffusion.continues:
      raise UserError(
        "how='windows': the model was not trained to continue conditioning frames; train with first.share=.5."
      )
    return cls(
      **parts_of(system),
      frames=system.data.source.frames,
      conditioning_frames=rollout.conditioning_frames,
      noise=rollout.noise,
    )

  def __call__(self, params, request: Request) -> Iterator[Clip]:
    """See `Sampler`."""
    refuse(request, "windows", supports=("script",))
    kept = self.conditioning_frames
    begun = {name: x[:, -kept:] for name, x in request.first.items()} if request.first else None
    request.check_scripts(self.frames - (length(begun) if begun else 0), self.frames - kept)
    run = compiled(ClipProgram.run)
    program = clip_program(self.network, self.process, self.senses, request.settings)
    context = request.contexts(self.network.text_length)
    guidance = guidance_of(request.settings, self.frames)
    times, steps = request.grid(self.frames, self.senses)
    noise = jnp.full(len(request), self.noise, jnp.float32)

    def draw(number: int, frame: int, last: Clip | None) -> Clip:
      own, noised = fold_keys(request.keys, number), None if last is None else noise
      clip = run(program, params, context(frame), own, times, guidance, steps, last, noised)
      return on_host(clip)

    return windows(draw, request.frames, kept, begun)


def windows(
  draw: Callable[[int, int, Clip | None], Clip],
  frames: int,
  conditioning_frames: int,
  first: Clip | None = None,
) -> Iterator[Clip]:
  """Yields the new frames of each window until there are `frames`.

  Args:
    draw: (index of the window, index of its first new frame, its conditioning frames) -> all its frames, more
      than `conditioning_frames`.
    frames: number of frames of the movie.
    conditioning_frames: number of last frames of each window with which the next one starts.
    first: conditioning frames of the first window, which are not yielded; None for none.
  """
  made, number, last = 0, 0, first
  while made < frames:
    clip = draw(number, made, last)
    old = 0 if last is None else length(last)
    fresh = {name: x[:, old:][:, : frames - made] for name, x in clip.items()}
    last = {name: x[:, -conditioning_frames:] for name, x in clip.items()}
    made, number = made + length(fresh), number + 1
    yield fresh
