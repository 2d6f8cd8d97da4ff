"""A camera that orbits a scene of boxes and balls: novel views of known geometry."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense
from stale_jax.data.source import Source
from stale_jax.data.sources.check import SPLITS, check_patch
from stale_jax.data.sources.digits import COLOURS
from stale_jax.data.sources.drawn import drawn_senses
from stale_jax.data.sources.rays import Thing, view
from stale_jax.fields import check_fields, choice, number

WAYS = ("left", "right")  # Of the camera, seen by itself: the azimuth falls, or rises.
_KINDS = ("ball", "box")


class Orbit(NamedTuple):
  """What a clip shows.

  Attributes:
    things: the scene.
    azimuths: azimuth of the camera in each frame, in degrees.
    elevation: elevation of the camera, in degrees.
  """

  things: tuple[Thing, ...]
  azimuths: Float[np.ndarray, "frames"]
  elevation: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orbits(Source):
  """Clips of two things, each a box or a ball, around which the camera turns at a constant rate.

  A clip depends only on the settings and the index. Both splits draw from the same scenes, with different
  random numbers.

  Attributes:
    split: "train" or "test".
    seed: seed of all random draws.
    size: number of clips.
    canvas: height and width in pixels, a multiple of 4.
    frames: number of frames of a clip, a multiple of `patch`.
    patch: number of frames that one token covers.
    rate: frames per second.
    degrees: angle that the camera turns from frame to frame.
    elevations: smallest and largest elevation of the camera, in degrees.
  """

  split: str = choice("train", SPLITS)
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  canvas: int = number(16, least=4, most=4096)
  frames: int = number(8, least=1, most=1 << 16)
  patch: int = number(1, least=1)
  rate: float = number(8.0, least=0.001, most=10_000)
  degrees: float = number(12.0, least=0, most=180)
  elevations: tuple[float, float] = number((25.0, 40.0), least=1, most=89)

  def __post_init__(self):
    check_fields(self, "source")
    check_patch(self.frames, self.patch)

  @property
  def senses(self) -> dict[str, Sense]:
    """Sight alone."""
    return drawn_senses((self.canvas, self.canvas), 4, {}, rate=self.rate, patch=self.patch)

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    return {"way": len(WAYS)}

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sight), caption, labels, index."""
    orbit = self.orbit(index)
    way = int(orbit.azimuths[-1] > orbit.azimuths[0])
    names = [f"a {_colour(thing)} {_KINDS[thing.is_box]}" for thing in orbit.things]
    return {
      "clip": {"sight": self.pictures(orbit)},
      "caption": f"{' and '.join(names)}, orbit {WAYS[way]}",
      "labels": {"way": way},
      "index": int(index),
    }

  def orbit(self, index: int) -> Orbit:
    """The scene and the camera of the clip at `index`."""
    key = [self.seed, 2 * int(index) + SPLITS.index(self.split)]
    rng = np.random.Generator(np.random.Philox(key=key))
    # The things stand on opposite sides of the middle, and do not touch.
    angle, colours = rng.uniform(0, 2 * np.pi), rng.permutation(len(COLOURS))
    things = []
    for turn, colour in zip((angle, angle + np.pi), colours, strict=False):
      far, size, is_box = rng.uniform(0.9, 1.5), rng.uniform(0.55, 0.85), bool(rng.integers(2))
      place = (float(far * np.sin(turn)), float(far * np.cos(turn)))
      size *= 0.85 if is_box else 1.0
      shape = {"size": float(size), "turn": float(rng.uniform(0, np.pi / 2))}
      things.append(Thing(is_box=is_box, place=place, colour=tuple(COLOURS.values())[colour], **shape))
    sign = 2 * int(rng.integers(len(WAYS))) - 1
    azimuths = rng.uniform(0, 360) + sign * self.degrees * np.arange(self.frames)
    return Orbit(tuple(things), azimuths, float(rng.uniform(*self.elevations)))

  def pictures(self, orbit: Orbit) -> Float[np.ndarray, "frames side side 3"]:
    """The true pictures of an orbit, in [-1, 1]."""
    return 2 * view(orbit.things, np.asarray(orbit.azimuths), orbit.elevation, self.canvas) - 1


def _colour(thing: Thing) -> str:
  return next(name for name, colour in COLOURS.items() if colour == thing.colour)
