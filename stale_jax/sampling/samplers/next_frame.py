"""Sampler that makes movies frame by frame, conditioned on the first frame and the two previous ones (ART-V).

For models that were trained by `objectives.artv`.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.compilation import compiled
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.objectives.artv import GIVEN, IS_REFERENCE, copying, given_frames
from stale_jax.processes import Process, fold_keys
from stale_jax.sampling.guiding import Guidance, Guiding, guidance_of, guided, guiding_of
from stale_jax.sampling.sample import sample
from stale_jax.sampling.samplers.complete import every_sense
from stale_jax.sampling.samplers.kept import KeptFrames, length
from stale_jax.sampling.samplers.request import Request, parts_of, refuse
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.solvers import Denoiser

FRAMES = GIVEN + 1  # Frames that the network sees: the conditioning frames and the new one.


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameProgram:
  """The program that makes one frame, compiled once per shape.

  Attributes:
    network, process, senses: parts of the model.
    solver: a key of `SOLVERS`.
    guiding: see `Guiding`; None without guidance.
  """

  network: Callable
  process: Process
  senses: tuple[Sense, ...]
  solver: str
  guiding: Guiding | None

  def run(
    self,
    params,
    context: Context,
    keys: Key[Array, "batch"],
    times: Float[Array, "grid batch 4"],
    guidance: Guidance,
    given: Clip,
    exists: Bool[Array, "given"],
    noise: Float[Array, "batch"],
  ) -> Clip:
    """The next frame, sense -> [batch, 1, *shape].

    Args:
      params: parameters of the network.
      context: captions and micro-conditions.
      keys: one per movie, for the noise of this frame.
      times: time grid of the new frame. The references (the two previous frames) are at time `noise`, and the
        anchor (the first frame) is at time 0.
      guidance: see `Guidance`.
      given, exists: see `conditioning`.
      noise: the time to which the references are noised, per movie.
    """
    noise = noise[:, None] * IS_REFERENCE
    real = jnp.broadcast_to(jnp.append(exists, True), (len(keys), FRAMES))
    context = context.replace(valid={sense.name: real for sense in self.senses})
    context = self.network.encode_captions(params, context)

    def denoiser_of(network) -> Denoiser:
      return copying(network, params, given)

    denoiser = guided(self.guiding, self.network, denoiser_of, guidance.scale, guidance.interval)
    clip = sample(
      self.process, denoiser, self.senses, times, context, keys, self.solver, first=given, noise=noise
    )
    return {name: x[:, -1:] for name, x in clip.items()}


def conditioning(
  senses: tuple[Sense, ...], past: Clip | None, size: int
) -> tuple[Clip, Bool[np.ndarray, "given"]]:
  """Selects the three frames that condition the next frame: the first one and the two previous ones.

  Args:
    senses: senses of the model.
    past: all past frames that are kept, or None before the first frame.
    size: number of movies, used if `past` is None.

  Returns:
    (sense -> [batch, 3, *shape], which of the three frames exist).
  """
  if past is None:
    past = {sense.name: np.zeros((size, 1, *sense.shape), np.float32) for sense in senses}
    frame = 0
  else:
    frame = length(past)
  order, exists = jax.device_get(given_frames(jnp.asarray(frame)))
  return {name: x[:, order] for name, x in past.items()}, exists


@dataclasses.dataclass(frozen=True, kw_only=True)
class NextFrame:
  """See `Sampler`. A chunk is one frame.

  Attributes:
    network, process, senses: parts of a model that was trained by `objectives.artv`.
    noise: the time to which the two previous frames are noised.
  """

  settings: ClassVar[tuple[str, ...]] = ("noise",)
  network: Callable
  process: Process
  senses: tuple[Sense, ...]
  noise: float

  @classmethod
  def build(cls, rollout: Rollout, system) -> "NextFrame":
    """See `Sampler`."""
    if not system.diffusion.artv:
      raise UserError(
        "how='artv': the model does not make frames one by one; choose another how, or train a model with "
        "the config section artv, as in configs/digits_artv.py."
      )
    return cls(**parts_of(system), noise=rollout.noise)

  def __call__(self, params, request: Request) -> Iterator[Clip]:
    """See `Sampler`."""
    refuse(request, "artv", supports=("script",))
    request.check_scripts(1, 1)
    return self._frames(params, request)

  def _frames(self, params, request: Request) -> Iterator[Clip]:
    settings, context = request.settings, request.contexts(self.network.text_length)
    run = compiled(FrameProgram.run)
    program = FrameProgram(
      network=self.network,
      process=self.process,
      senses=self.senses,
      solver=settings.solver,
      guiding=guiding_of(settings, self.process, self.network),
    )
    times, _ = request.grid(FRAMES, self.senses)
    noise = jnp.full(len(request), self.noise, jnp.float32)
    past = KeptFrames(room=GIVEN, sinks=1)
    first = length(request.first) if request.first else 0
    guidance = guidance_of(settings, first + request.frames)
    if request.first:
      past.add(every_sense(request.first, self.senses))
    for number in range(request.frames):
      given = conditioning(self.senses, past.frames, len(request))
      own = fold_keys(request.keys, number)
      scale = guidance.part(first + number, 1)
      frame = run(program, params, context(number), own, times, scale, *given, noise)
      frame = on_host(frame)
      past.add(frame)
      yield frame
