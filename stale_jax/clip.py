"""Clip and Sense: the one data type that flows through everything."""

import dataclasses

import flax.struct
import numpy as np
from jaxtyping import Array, Bool, Int

from stale_jax.text import drop

# sense -> [batch, frames, *sense.shape], values in [-1, 1]; a missing sense is absent.
Clip = dict[str, Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sense:
  """One channel of experience: what a frame of it looks like.

  Attributes:
    name: its key in a Clip.
    shape: of one frame, channels last: sight is (height, width, 3), touch (4,).
    rate: frames a second. Every sense of a clip has the same rate.
    patch: what one token covers: (frames, *extent along each axis of `shape` but the last).
    channels: the name of each entry of the last axis. Where a channel is an intensity,
      -1 is none and 1 is full.
  """

  name: str
  shape: tuple[int, ...]
  rate: float
  patch: tuple[int, ...]
  channels: tuple[str, ...]

  def __post_init__(self):
    if len(self.patch) != len(self.shape) or len(self.channels) != self.shape[-1]:
      raise ValueError(f"Sense {self.name}: patch {self.patch} or channels do not fit shape {self.shape}.")
    if any(n % p for n, p in zip(self.shape, self.patch[1:], strict=False)):
      raise ValueError(f"Sense {self.name}: patch {self.patch} does not divide shape {self.shape}.")

  def grid(self, frames: int) -> tuple[int, ...]:
    """How many tokens along (time, *space) a clip of `frames` frames has."""
    return (frames // self.patch[0], *(n // p for n, p in zip(self.shape, self.patch[1:], strict=False)))


@flax.struct.dataclass
class Context:
  """Everything a denoiser is told beside the noised clip.

  Attributes:
    text: tokens of `text.tokenize`, 0 where there is none.
    valid: sense -> which frames of which example are real; a sense not named here is all real.
    apart: examples whose senses are denoised each by itself, not seeing the others; None: no example's.
  """

  text: Int[Array, "batch length"]
  valid: dict[str, Bool[Array, "batch frames"]] = flax.struct.field(default_factory=dict)
  apart: Bool[Array, "batch"] | None = None

  def withhold(self, which: Bool[Array, "batch"]) -> "Context":
    """The unconditional context for those examples: no caption, and no sense tells of another.

    Were the senses together, the sound of a digit would stand in for its caption, and the
    unconditional model would know what guidance is to lead away from.
    """
    return self.replace(text=drop(self.text, ~which), apart=which)


@flax.struct.dataclass
class Batch:
  """What a training step is given.

  Attributes:
    clip: clean.
    context: its captions and which frames are real.
    index: of each example in its source.
    labels: name -> which of the source's classes of that name each example is of; -1: unknown.
  """

  clip: Clip
  context: Context
  index: Int[Array, "batch"]
  labels: dict[str, Int[Array, "batch"]] = flax.struct.field(default_factory=dict)


def intensity(values) -> np.ndarray:
  """Maps [-1, 1] to intensities in [0, 1]."""
  return np.clip((np.asarray(values, np.float32) + 1) / 2, 0, 1)
