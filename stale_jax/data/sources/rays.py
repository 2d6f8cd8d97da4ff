"""Ray casting of simple scenes: boxes and balls on the ground, in daylight."""

import dataclasses

import numpy as np
from jaxtyping import Float

_DISTANCE, _VIEW = 6.0, 0.46  # Of the camera from the middle of the scene; tangent of half the field of view.
_GROUND, _SKY = (0.42, 0.36, 0.3), (0.1, 0.14, 0.25)
_SUN = np.asarray([0.48, 0.6, 0.64])  # Direction to the light, fixed in the scene; of length 1.
_SHADE = 0.35  # Brightness of surfaces that face away from the light.
_FAR = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
  """A box or a ball that stands on the ground.

  Attributes:
    is_box: whether it is a box, else a ball.
    place: (x, z) of its middle; the scene turns about (0, 0).
    size: half of its height, depth and width.
    turn: angle of a box about the vertical axis, in radians.
    colour: red, green and blue in [0, 1].
  """

  is_box: bool
  place: tuple[float, float]
  size: float
  turn: float
  colour: tuple[float, float, float]


def view(
  things: tuple[Thing, ...],
  azimuths: Float[np.ndarray, "frames"],
  elevation: float,
  side: int,
  samples: int = 2,
) -> Float[np.ndarray, "frames {side} {side} 3"]:
  """Pictures of a scene in [0, 1], taken by a camera that looks at its middle.

  Args:
    things: what stands on the ground.
    azimuths: angle of the camera about the vertical axis in each picture, in degrees.
    elevation: angle of the camera above the ground, in degrees, above 0 and below 90.
    side: height and width of a picture in pixels.
    samples: rays per pixel along each axis.
  """
  eye, ray = _rays(np.deg2rad(azimuths), np.deg2rad(elevation), side * samples)
  # The ground is y = 0; rays above the horizon see the sky.
  falls = ray[..., 1] < -1e-6
  near = np.where(falls, -eye[..., 1] / np.where(falls, ray[..., 1], -1), _FAR)
  lit = np.where(falls[..., None], np.asarray(_GROUND) * _light(np.asarray([0.0, 1.0, 0.0]))[..., None], _SKY)
  for thing in things:
    away, normal = _box(thing, eye, ray) if thing.is_box else _ball(thing, eye, ray)
    is_seen = away < near
    near = np.where(is_seen, away, near)
    lit = np.where(is_seen[..., None], np.asarray(thing.colour) * _light(normal)[..., None], lit)
  frames = len(azimuths)
  return lit.reshape(frames, side, samples, side, samples, 3).mean((2, 4)).astype(np.float32)


def _rays(azimuth, elevation: float, side: int):
  """Returns (positions of the camera [frames, 1, 1, 3], directions of rays [frames, side, side, 3])."""
  level, zero = np.cos(elevation), np.zeros_like(azimuth)
  back = np.stack([level * np.sin(azimuth), zero + np.sin(elevation), level * np.cos(azimuth)], -1)
  right = np.stack([np.cos(azimuth), zero, -np.sin(azimuth)], -1)
  up = np.cross(back, right)
  across = _VIEW * (2 * (np.arange(side) + 0.5) / side - 1)
  back, right, up = (x[:, None, None] for x in (back, right, up))
  ray = across[:, None] * right - across[:, None, None] * up - back
  return _DISTANCE * back, ray / np.linalg.norm(ray, axis=-1, keepdims=True)


def _light(normal):
  """The brightness of surfaces with these unit normals (Lambert's law, and light from everywhere)."""
  return _SHADE + (1 - _SHADE) * np.maximum(normal @ _SUN, 0)


def _ball(thing: Thing, eye, ray):
  """Returns (distance along each ray to the ball, _FAR if it misses; the unit normal there)."""
  start = eye - np.asarray([thing.place[0], thing.size, thing.place[1]])
  half = (ray * start).sum(-1)
  root = np.square(half) - (np.square(start).sum(-1) - thing.size**2)
  away = np.where(root > 0, -half - np.sqrt(np.maximum(root, 0)), _FAR)
  return away, (start + away[..., None] * ray) / thing.size


def _box(thing: Thing, eye, ray):
  """Returns (distance along each ray to the box, _FAR if it misses; the unit normal there).

  The slab method: a ray is inside between the last of the planes that it enters and the first that it leaves.
  """
  sine, cosine = np.sin(thing.turn), np.cos(thing.turn)
  axes = np.asarray([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])  # Rows: the axes of the box.
  start = (eye - np.asarray([thing.place[0], thing.size, thing.place[1]])) @ axes.T
  along = ray @ axes.T
  along = np.where(np.abs(along) < 1e-9, 1e-9, along)
  enter, leave = ((side * thing.size * np.sign(along) - start) / along for side in (-1, 1))
  away = enter.max(-1)
  face = np.eye(3)[enter.argmax(-1)] * -np.sign(along)
  return np.where(away < leave.min(-1), away, _FAR), face @ axes
