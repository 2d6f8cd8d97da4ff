"""Clip and Sense: the one data type that flows through everything."""

import dataclasses

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from stale_jax.text import drop

# Micro-conditions: what a `Context` may hold beside the caption.
MICRO = ("fps", "motion")

# sense -> [batch, frames, *sense.shape], values in [-1, 1]; a missing sense is absent. On its way to a device
# sight may be bytes (`floats`), and in other buckets its frames have another height and width (`Sense.on`).
Clip = dict[str, Array | np.ndarray]


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

  def on(self, shape: tuple[int, ...]) -> "Sense":
    """The same sense in frames of another height and width.

    Raises:
      ValueError: they are not of its channels, or its patch does not divide them.
    """
    return self if shape == self.shape else dataclasses.replace(self, shape=tuple(shape))

  def grid(self, frames: int) -> tuple[int, ...]:
    """How many tokens along (time, *space) a clip of `frames` frames has."""
    return (frames // self.patch[0], *(n // p for n, p in zip(self.shape, self.patch[1:], strict=False)))


@flax.struct.dataclass
class EncodedText:
  """The output of a network's text encoder for captions, and for the empty caption.

  Attributes:
    tokens, real: of the captions, and which of the tokens stand for any text.
    empty, empty_real: the same of the empty caption, repeated for every caption.
  """

  tokens: Float[Array, "batch tokens width"]
  real: Bool[Array, "batch tokens"]
  empty: Float[Array, "batch tokens width"]
  empty_real: Bool[Array, "batch tokens"]

  def drop_condition(self, which: Bool[Array, "batch"]) -> "EncodedText":
    """The same with those captions replaced by the empty one."""
    which = which[:, None]
    tokens = jnp.where(which[..., None], self.empty, self.tokens)
    return self.replace(tokens=tokens, real=jnp.where(which, self.empty_real, self.real))


@flax.struct.dataclass
class Context:
  """Everything a denoiser is told beside the noised clip.

  Attributes:
    text: tokens of `text.tokenize`, 0 where there is none.
    valid: sense -> which frames of which example are real; a sense not named here is all real.
    independent_senses: examples in which each sense is denoised independently (no cross-sense
      attention); None: no example.
    fps: frames a second; NaN where it is not known, None if it is of nobody. So is
    motion: how much moves (`data.micro`).
    encoded: the output of `Transformer.encode_captions`; None: the network encodes `text` itself.
  """

  text: Int[Array, "batch length"]
  valid: dict[str, Bool[Array, "batch frames"]] = flax.struct.field(default_factory=dict)
  independent_senses: Bool[Array, "batch"] | None = None
  fps: Float[Array, "batch"] | None = None
  motion: Float[Array, "batch"] | None = None
  encoded: EncodedText | None = None

  def drop_condition(self, which: Bool[Array, "batch"]) -> "Context":
    """The unconditional context for those examples: no caption, and no sense tells of another.

    Were the senses together, the sound of a digit would stand in for its caption, and the
    unconditional model would know what guidance is to lead away from. Micro-conditions stay, as in SVD.
    """
    encoded = None if self.encoded is None else self.encoded.drop_condition(which)
    return self.replace(text=drop(self.text, ~which), independent_senses=which, encoded=encoded)


@flax.struct.dataclass
class Batch:
  """What a training step is given.

  Attributes:
    clip: clean.
    context: its captions and which frames are real.
    index: of each example in its source.
    labels: name -> of each of the source's classes of that name, whether an example is of it: 1 or 0, and -1
      if that is not known.
  """

  clip: Clip
  context: Context
  index: Int[Array, "batch"]
  labels: dict[str, Int[Array, "batch classes"]] = flax.struct.field(default_factory=dict)


# 1 / 127.5 in two parts, of which the first is exact times any byte. Division is not exact on all devices.
_COARSE, _FINE = np.float32(257 / 2**15), np.float32(1 / (255 * 2**15))


def floats(clip: Clip) -> Clip:
  """The same with bytes as the values in [-1, 1] that they stand for, x / 127.5 - 1 rounded to float32.

  Pictures are bytes until they are on the device, which saves three quarters of the copying. The values have
  the same bits on every device, whether it fuses products with sums or not.
  """
  return {name: _values(x) if x.dtype == np.uint8 else x for name, x in clip.items()}


def _values(x: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
  x = x.astype(np.float32)
  return (x * _COARSE + x * _FINE) - np.float32(1)


def intensity(values) -> np.ndarray:
  """Maps [-1, 1] to intensities in [0, 1]."""
  return np.clip((np.asarray(values, np.float32) + 1) / 2, 0, 1)
