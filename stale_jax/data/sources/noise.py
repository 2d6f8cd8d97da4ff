"""Noise with captions, in any shape: for planning, profiling and timing, where only shapes matter.

Nothing can be learnt from it. A latent video is described so before a single one has been encoded.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from stale_jax.clip import Sense
from stale_jax.construct import at_least
from stale_jax.data.source import Source
from stale_jax.errors import UserError

_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Source):
  """A source of uniform noise as sight, random access and deterministic in (seed, index).

  Attributes:
    seed: of everything drawn.
    size: the number of clips before indices repeat.
    frames, height, width, channels: of a clip.
    patch: frames, rows and columns that one token covers.
    rate: frames a second.
    caption: letters of one.
  """

  has_test_split: ClassVar[bool] = False
  seed: int = 0
  size: int = 1 << 24
  frames: int = 21
  height: int = 60
  width: int = 104
  channels: int = 16
  patch: tuple[int, ...] = (1, 2, 2)
  rate: float = 4.0
  caption: int = 64

  def __post_init__(self):
    sizes = {name: getattr(self, name) for name in ("size", "frames", "height", "width", "channels")}
    at_least(1, "source", **sizes)
    at_least(0, "source", caption=self.caption)
    whole = (self.frames, self.height, self.width)
    if len(self.patch) != 3 or any(p < 1 or n % p for n, p in zip(whole, self.patch, strict=True)):
      raise UserError(f"source.patch={self.patch} must divide frames, height and width, {whole}.")
    if not self.rate > 0:
      raise UserError(f"source.rate={self.rate}: a positive number is needed.")

  @property
  def senses(self) -> dict[str, Sense]:
    """Sight alone."""
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
