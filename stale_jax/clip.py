"""Clips, senses, contexts and batches: the data types that all parts of the package share."""

import dataclasses

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from stale_jax.text import drop

# Micro-conditions: what a `Context` may contain besides the caption.
MICRO = ("fps", "motion")

# sense -> [batch, frames, *sense.shape], values in [-1, 1]; a sense that a clip lacks has no key. The sense
# "sight" may hold bytes until it is on the device (see `floats`). Height and width of its frames depend on
# the bucket (`Sense.on`).
Clip = dict[str, Array | np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sense:
  """One modality of a clip, and the layout of its frames.

  Attributes:
    name: key in a Clip.
    shape: shape of one frame, channels last: sight is (height, width, 3), touch (4,).
    rate: frames per second. All senses of a clip have the same rate.
    patch: extent of one token: (frames, *size along each axis of `shape` except the last).
    channels: names of the entries of the last axis. For intensities, -1 is none and 1 is full.
  """

  name: str
  shape: tuple[int, ...]
  rate: float
  patch: tuple[int, ...]
  channels: tuple[str, ...]

  def __post_init__(self):
    if len(self.patch) != len(self.shape) or len(self.channels) != self.shape[-1]:
      raise ValueError(
        f"Sense {self.name}: shape {self.shape} needs {len(self.shape)} entries in patch, got {self.patch}, "
        f"and {self.shape[-1]} channel names, got {len(self.channels)}."
      )
    if any(n % p for n, p in zip(self.shape, self.patch[1:], strict=False)):
      raise ValueError(f"Sense {self.name}: patch {self.patch} does not divide shape {self.shape}.")

  def on(self, shape: tuple[int, ...]) -> "Sense":
    """The same sense with frames of another height and width.

    Raises:
      ValueError: `shape` has other channels, or `patch` does not divide it.
    """
    return self if shape == self.shape else dataclasses.replace(self, shape=tuple(shape))

  def grid(self, frames: int) -> tuple[int, ...]:
    """Number of tokens along (time, *space) of a clip of `frames` frames."""
    return (frames // self.patch[0], *(n // p for n, p in zip(self.shape, self.patch[1:], strict=False)))


@flax.struct.dataclass
class EncodedText:
  """Output of a network's text encoder for captions, and for the empty caption.

  Attributes:
    tokens: encoded captions.
    real: which tokens are text; the others are padding.
    empty, empty_real: the same for the empty caption, repeated for every caption.
  """

  tokens: Float[Array, "batch tokens width"]
  real: Bool[Array, "batch tokens"]
  empty: Float[Array, "batch tokens width"]
  empty_real: Bool[Array, "batch tokens"]

  def drop_condition(self, which: Bool[Array, "batch"]) -> "EncodedText":
    """The same with the captions in `which` replaced by the empty caption."""
    which = which[:, None]
    tokens = jnp.where(which[..., None], self.empty, self.tokens)
    return self.replace(tokens=tokens, real=jnp.where(which, self.empty_real, self.real))


@flax.struct.dataclass
class Context:
  """The conditioning of a denoiser: everything that it sees besides the noised clip.

  Attributes:
    text: tokens of `text.tokenize`, padded with 0.
    valid: sense -> which frames of each example are real; all frames, for a sense without a key.
    independent_senses: examples in which each sense is denoised independently (no cross-sense
      attention); None: no example.
    fps: frames per second, NaN where unknown; None if the model is not conditioned on it.
    motion: mean speed of the fastest tenth of the picture (see `data.micro`), same convention.
    encoders: which text encoders read the caption of each example, in the order of `models.inputs.ENCODERS`;
      the others read the empty caption. None: all read it.
    encoded: the output of `Transformer.encode_captions`; None: the network encodes `text` itself.
  """

  text: Int[Array, "batch length"]
  valid: dict[str, Bool[Array, "batch frames"]] = flax.struct.field(default_factory=dict)
  independent_senses: Bool[Array, "batch"] | None = None
  fps: Float[Array, "batch"] | None = None
  motion: Float[Array, "batch"] | None = None
  encoders: Bool[Array, "batch encoders"] | None = None
  encoded: EncodedText | None = None

  def drop_condition(self, which: Bool[Array, "batch"]) -> "Context":
    """The unconditional context for the examples in `which`: empty caption, no cross-sense attention.

    With cross-sense attention the condition would leak: the sound of a digit, for example, contains the
    same information as its caption, so classifier-free guidance would not contrast the two predictions.
    Micro-conditions are kept, as in SVD.
    """
    encoded = None if self.encoded is None else self.encoded.drop_condition(which)
    return self.replace(text=drop(self.text, ~which), independent_senses=which, encoded=encoded)


@flax.struct.dataclass
class Batch:
  """The input of a training step.

  Attributes:
    clip: clean clips.
    context: captions, micro-conditions and which frames are real.
    index: index of each example in the source.
    labels: name of a label -> for each of its classes, 1 if the example belongs to it, 0 if not, and -1 if
      unknown.
  """

  clip: Clip
  context: Context
  index: Int[Array, "batch"]
  labels: dict[str, Int[Array, "batch classes"]] = flax.struct.field(default_factory=dict)


# Their sum is 1 / 127.5. The product of _COARSE and a byte is exact; division is not exact on all devices.
_COARSE, _FINE = np.float32(257 / 2**15), np.float32(1 / (255 * 2**15))


def floats(clip: Clip) -> Clip:
  """The clip with bytes converted to values in [-1, 1]: x / 127.5 - 1, rounded to float32.

  Pictures stay bytes until they are on the device, which saves three quarters of the copying. The result has
  the same bits on every device, with or without fused multiply-add.
  """
  return {name: _values(x) if x.dtype == np.uint8 else x for name, x in clip.items()}


def _values(x: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
  x = x.astype(np.float32)
  return (x * _COARSE + x * _FINE) - np.float32(1)


def intensity(values) -> np.ndarray:
  """Maps [-1, 1] to intensities in [0, 1]."""
  return np.clip((np.asarray(values, np.float32) + 1) / 2, 0, 1)
