"""Uniform noise of any shape with random captions, for planning, profiling and timing.

The default shape is that of latent videos, so that memory and time of a latent model can be planned before
any video is encoded.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from stale_jax.clip import Sense
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number

_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Source):
  """A source of uniform noise as sight. A clip depends only on the settings and the index.

  Attributes:
    seed: seed of all random draws.
    size: number of clips. Each is drawn from its index, so any size is possible.
    frames, height, width, channels: shape of a clip.
    patch: number of frames, rows and columns that one token covers.
    rate: frames per second.
    caption: number of letters of a caption.

  Raises:
    UserError: a field is out of its range, or `patch` does not divide the shape.
  """

  has_test_split: ClassVar[bool] = False
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  frames: int = number(21, least=1, most=1 << 20)
  height: int = number(60, least=1, most=1 << 16)
  width: int = number(104, least=1, most=1 << 16)
  channels: int = number(16, least=1, most=1 << 16)
  patch: tuple[int, ...] = number((1, 2, 2), least=1)
  rate: float = number(4.0, least=0.001, most=10_000)
  caption: int = number(64, least=0, most=1 << 20)

  def __post_init__(self):
    check_fields(self, "source")
    size = (self.frames, self.height, self.width)
    if len(self.patch) != 3 or any(n % p for n, p in zip(size, self.patch, strict=True)):
      raise UserError(f"source.patch={self.patch} must divide frames, height and width, {size}.")

  @property
  def senses(self) -> dict[str, Sense]:
    """The one sense, sight, by name."""
    shape = (self.height, self.width, self.channels)
    channels = tuple(map(str, range(self.channels)))
    return {"sight": Sense(name="sight", shape=shape, rate=self.rate, patch=self.patch, channels=channels)}

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sense -> [frames, height, width, channels]), caption, index."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    shape = (self.frames, self.height, self.width, self.channels)
    sight = rng.random(shape, np.float32) * 2 - 1
    caption = rng.choice(_LETTERS, self.caption).tobytes().decode()
    return {"clip": {"sight": sight}, "caption": caption, "labels": {}, "index": int(index)}
