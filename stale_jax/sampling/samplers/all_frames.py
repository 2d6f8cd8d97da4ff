"""Sampler that denoises all frames of a clip together, for models that are not causal."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.compilation import compiled
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.processes import Process, named_keys
from stale_jax.sampling.contextual import contextual_sample
from stale_jax.sampling.guiding import Guidance, Guiding, guidance_of, guided, guiding_of
from stale_jax.sampling.inpainting.known import Known
from stale_jax.sampling.sample import Start, sample
from stale_jax.sampling.samplers.request import Request, parts_of, refuse
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.solve import beginning, prior
from stale_jax.sampling.solvers import Denoiser, Reverse
from stale_jax.sampling.story import Story, consistent, tiled


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipProgram:
  """The program that makes a batch of clips, compiled once per shape.

  Attributes:
    network, process, senses: parts of the model.
    solver: a key of `SOLVERS`.
    guiding: see `Guiding`; None without guidance.
    story: settings of attention between the clips, with which each clip depends on all others; None for
      independent clips.
  """

  network: Callable
  process: Process
  senses: tuple[Sense, ...]
  solver: str
  guiding: Guiding | None
  story: Story | None = None

  def run(
    self,
    params,
    context: Context,
    keys: Key[Array, "batch"],
    times: Float[Array, "grid batch frames"],
    guidance: Guidance,
    steps: int | Int[Array, ""] | None = None,
    first: Clip | None = None,
    noise: Float[Array, "batch"] | None = None,
    start: Start | None = None,
    initial: Clip | None = None,
    known: Known | None = None,
  ) -> Clip:
    """Draws one clip per key.

    Args:
      params: parameters of the network.
      context, keys, times, steps, first, noise, start, initial, known: see `sample`.
      guidance: scale and interval; used only with `guiding`.

    Returns:
      sense -> [batch, frames, *shape], including the conditioning frames `first`.
    """
    context = self.network.encode_captions(params, context)

    def denoiser_of(network) -> Denoiser:
      denoiser = functools.partial(network.apply, params)
      if self.story:
        denoiser = consistent(denoiser, self.story, times, named_keys(keys[0], "story"))
      return denoiser

    denoiser = guided(self.guiding, self.network, denoiser_of, guidance.scale, guidance.interval)
    if self.story:
      whole = denoiser
      denoiser = tiled(lambda rows: whole, self.story.tile, len(keys))
    if self.network.relation_width:
      reverse = Reverse(process=self.process, denoiser=denoiser, times=times, context=context, keys=keys)
      x = beginning(prior(self.process, self.senses, times.shape[-1], keys), initial)
      return contextual_sample(reverse, functools.partial(self.network.relate, params), x)
    parts = self.process, denoiser, self.senses, times, context, keys, self.solver
    return sample(*parts, steps, first, noise, start, initial, known)


def clip_program(network, process: Process, senses, settings: Sampling, story: Story | None = None):
  """Builds the `ClipProgram` for these settings."""
  return ClipProgram(
    network=network,
    process=process,
    senses=senses,
    solver=settings.solver,
    guiding=guiding_of(settings, process, network),
    story=story,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AllFrames:
  """See `Sampler`. There is one chunk, the whole clip.

  Attributes:
    network, process, senses: parts of the model.
  """

  settings: ClassVar[tuple[str, ...]] = ()
  network: Callable
  process: Process
  senses: tuple[Sense, ...]

  @classmethod
  def build(cls, rollout: Rollout, system) -> "AllFrames":
    """See `Sampler`."""
    refuse_next_frame(system, "all_frames")
    return cls(**parts_of(system))

  def __call__(self, params, request: Request) -> Iterator[Clip]:
    """See `Sampler`."""
    if self.network.relation_width:
      check_contextual(request)
    refuse(request, "all_frames", supports=("budget", "story", "start", "initial_noise", "known"))
    first = request.first and jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), dict(request.first))
    given = next(iter(first.values())).shape[1] if first else 0
    program = clip_program(self.network, self.process, self.senses, request.settings, request.story)
    context = request.contexts(self.network.text_length)(0)
    times, steps = request.grid(given + request.frames, self.senses)
    run, guidance = compiled(ClipProgram.run), guidance_of(request.settings, given + request.frames)
    options = request.start, request.initial_noise, request.known
    clip = run(program, params, context, request.keys, times, guidance, steps, first, None, *options)
    return iter([{name: x[:, given:] for name, x in on_host(clip).items()}])


def check_contextual(request: Request) -> None:
  """Raises UserError if `request` uses what models with a bias of context do not support."""
  refuse(request, "all_frames with a bias of context", supports=("initial_noise",))
  if request.first:
    raise UserError("a model with a bias of context does not continue first frames: leave out first_frame.")
  if request.settings.solver != "euler":
    raise UserError(
      f"solver={request.settings.solver!r}: a model with a bias of context is sampled by DDIM alone; set "
      "solver to 'euler'."
    )


def refuse_next_frame(system, how: str) -> None:
  """Raises UserError if the model of `system` was trained to make single frames (`objectives.artv`)."""
  if system.diffusion.artv:
    raise UserError(f"how={how!r}: the model was trained to make one frame at a time; set how to 'artv'.")
