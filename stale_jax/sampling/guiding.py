"""Builds the guidance that the settings select, and applies it to a network."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.errors import UserError
from stale_jax.processes import Process
from stale_jax.sampling.guidance import RULES, Plain, Push, Rule, SkipLayers, classifier_free
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.solvers import Denoiser


@flax.struct.dataclass
class Guidance:
  """Scale and interval of guidance, as arrays; see `Sampling`.

  Attributes:
    scale: the scale of all frames, or of each frame, [frames].
    interval: smallest and largest time with guidance.
  """

  scale: Float[Array, "*frames"]
  interval: Float[Array, "2"]

  def part(self, start: int | Int[Array, ""], frames: int) -> "Guidance":
    """The guidance of `frames` frames from frame `start`; after the last frame, its scale goes on."""
    if not self.scale.ndim:
      return self
    return self.replace(scale=self.scale[jnp.minimum(start + jnp.arange(frames), len(self.scale) - 1)])


def guidance_of(settings: Sampling, frames: int) -> Guidance:
  """The guidance of a clip of `frames` frames, as arrays, so that one compiled program serves all values."""
  return Guidance(settings.scale(frames), jnp.asarray(settings.interval, jnp.float32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guiding:
  """The part of guidance that is compiled into a program.

  Attributes:
    rule: how the two outputs are combined.
    is_limited: whether guidance is disabled at some times.
    skip: skip-layer guidance; None for none.
  """

  rule: Rule = Plain()
  is_limited: bool = True
  skip: SkipLayers | None = None


def guiding_of(settings: Sampling, process: Process, network: Any) -> Guiding | None:
  """The static part of the guidance of `settings`; None without guidance.

  Args:
    settings: the settings.
    process: the noising process.
    network: the network, a `Transformer` if blocks are skipped.

  Raises:
    UserError: the rule does not suit the process, or the network does not have the blocks to be skipped.
  """
  if not settings.is_guided:
    return None
  build = RULES[settings.guidance_kind]
  values = {**vars(settings), "process": process}
  rule = build(**{field.name: values[field.name] for field in dataclasses.fields(build)})
  if not rule.fits(process):
    raise UserError(
      f"sampling.guidance_kind={settings.guidance_kind!r} does not fit {type(process).__name__}: use 'cfg'."
    )
  skip = None
  if settings.skip_layers:
    network.clone(skip=settings.skip_layers).check_skip()
    skip = SkipLayers(layers=settings.skip_layers, scale=settings.skip_scale, interval=settings.skip_interval)
  return Guiding(rule=rule, is_limited=settings.is_limited, skip=skip)


def guided(
  guiding: Guiding | None,
  network: Any,
  denoiser_of: Callable[[Any], Denoiser],
  scale: float | Float[Array, "*frames"],
  interval: tuple[float, float] | Float[Array, "2"],
) -> Denoiser:
  """The denoiser of `network` with guidance.

  Args:
    guiding: the static part of guidance; None for no guidance.
    network: the network.
    denoiser_of: maps `network`, or the same network with other settings, to its denoiser without guidance.
    scale, interval: see `classifier_free`; the interval is used only if guidance is limited.
  """
  denoiser = denoiser_of(network)
  if guiding is None:
    return denoiser
  skip, push = guiding.skip, None
  if skip is not None:
    push = Push(skip=skip, denoiser=denoiser_of(network.clone(skip=skip.layers)))
  return classifier_free(denoiser, scale, interval if guiding.is_limited else None, guiding.rule, push)
