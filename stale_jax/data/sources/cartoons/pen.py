"""A canvas for flat cartoon pictures: outlined shapes, drawn larger than the picture and then averaged.

Points are complex numbers, x + 1j * y. The unit is 1/64 of the shorter side of the picture, whatever its
pixels: x is 0 in the middle and grows to the right, y grows downwards and is 64 at the lower edge. A wider
picture shows more to both sides, a higher one more above.
"""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Complex, Int, UInt8

UNITS = 64.0
INK = (34, 22, 40)
LINE, FEWEST = 0.75, 0.6  # Width of outlines in units, and at least in pixels.
_CORNERS = 18  # Of the polygon that stands for an ellipse.
_BITS = 4  # Coordinates have this many binary places, in pixels of the canvas.

Colour = tuple[int, int, int]
Points = Sequence[complex] | Complex[np.ndarray, "points"]


class Frame(NamedTuple):
  """The affine map z -> a z + b conj(z) + c of the plane: with b, it can mirror and squash."""

  a: complex = 1
  b: complex = 0
  c: complex = 0

  def after(self, other: "Frame") -> "Frame":
    """The map that applies `other` first, and then this one."""
    return Frame(
      self.a * other.a + self.b * other.b.conjugate(),
      self.a * other.b + self.b * other.a.conjugate(),
      self(other.c),
    )

  def __call__(self, z):
    """Maps a point, or an array of points."""
    return self.a * z + self.b * z.conjugate() + self.c


def scaled(x: float, y: float, place: complex, turn: float = 0.0) -> Frame:
  """The map that scales by (x, y), turns by `turn` radians, and moves 0 to `place`."""
  rotation = complex(math.cos(turn), math.sin(turn))
  return Frame(rotation * (x + y) / 2, rotation * (x - y) / 2, complex(place))


def shape(*points: complex) -> Complex[np.ndarray, "points"]:
  """The corners of a polygon that is drawn often."""
  return np.array(points, complex)


def arc(centre: complex, rx: float, ry: float, start: float, end: float, count: int = 10):
  """`count` points on an ellipse, from angle `start` to angle `end` in radians."""
  angles = np.linspace(start, end, count)
  return centre + rx * np.cos(angles) + 1j * ry * np.sin(angles)


def mix(first: Colour, second: Colour, share: float) -> Colour:
  """`first` blended with the fraction `share` of `second`."""
  return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


@functools.lru_cache(4096)
def _rings(rx: float, ry: float, line: float, tilt: float) -> Complex[np.ndarray, "points"]:
  """An ellipse of _CORNERS points, and then the same with an outline."""
  last = 2 * math.pi * (1 - 1 / _CORNERS)
  rings = [arc(0, rx + wider, ry + wider, 0, last, _CORNERS) for wider in (0, line)]
  return np.concatenate(rings) * complex(math.cos(tilt), math.sin(tilt))


@functools.lru_cache(4096)
def _star(radius: float, corners: int, turn: float) -> Complex[np.ndarray, "points"]:
  angles = np.arange(2 * corners) * math.pi / corners - math.pi / 2 + turn
  return np.where(np.arange(2 * corners) % 2 == 0, radius, radius * 0.45) * np.exp(1j * angles)


class Pen:
  """Draws on a canvas.

  Attributes:
    canvas: the pixels, RGB.
    half_width: the right edge of the picture is at x = half_width, the left one at -half_width.
    top: y of the upper edge: 0 unless the picture is higher than wide.
    line: width of outlines in units.
    tint: a factor for each colour channel of the fills, for example for the night.
  """

  def __init__(self, height: int, width: int):
    side = min(height, width)
    samples = max(2, min(4, 256 // side))
    self.canvas: UInt8[np.ndarray, "rows columns 3"] = np.zeros(
      (height * samples, width * samples, 3), np.uint8
    )
    self.half_width = UNITS / 2 * width / side
    self.top = UNITS - UNITS * height / side
    self.line = max(LINE, FEWEST * UNITS / side)
    self.tint: tuple[float, float, float] | None = None
    self.scale = samples * side / UNITS  # Pixels of the canvas per unit.
    self._size = (width, height)
    # OpenCV counts from the centre of a pixel, hence the half.
    corner = self.scale * complex(self.half_width, -self.top) - (0.5 + 0.5j)
    self._frame = Frame(self.scale * 2**_BITS, 0, corner * 2**_BITS)

  def picture(self) -> UInt8[np.ndarray, "height width 3"]:
    """The picture in its own size."""
    return cv2.resize(self.canvas, self._size, interpolation=cv2.INTER_AREA)

  @contextlib.contextmanager
  def within(self, frame: Frame) -> Iterator[None]:
    """Points are in the coordinates of `frame` until the context ends."""
    outer, self._frame = self._frame, self._frame.after(frame)
    yield
    self._frame = outer

  @contextlib.contextmanager
  def tinted(self, tint: tuple[float, float, float] | None) -> Iterator[None]:
    """Fills are multiplied by `tint` until the context ends."""
    outer, self.tint = self.tint, tint
    yield
    self.tint = outer

  def polygon(self, points: Points, fill: Colour, line: float | None = None, at: complex = 0) -> None:
    """A filled polygon with an outline of width `line` (None: the pen's), moved by `at`."""
    pixels, line = self.pixels(points, at), self.line if line is None else line
    if line:
      cv2.polylines(self.canvas, [pixels], True, INK, self._thickness(2 * line), cv2.LINE_8, _BITS)
    cv2.fillPoly(self.canvas, [pixels], self._tinted(fill), cv2.LINE_8, _BITS)

  def ellipse(self, centre: complex, rx: float, ry: float, fill: Colour, line: float | None = None, tilt=0.0):
    """A filled ellipse with an outline, turned by `tilt` radians."""
    line = self.line if line is None else line
    pixels = self.pixels(_rings(rx, ry, line, tilt), centre)
    if line:
      cv2.fillPoly(self.canvas, [pixels[_CORNERS:]], INK, cv2.LINE_8, _BITS)
    cv2.fillPoly(self.canvas, [pixels[:_CORNERS]], self._tinted(fill), cv2.LINE_8, _BITS)

  def stroke(self, points: Points, width: float, fill: Colour, line: float | None = None, at: complex = 0):
    """A line of round ends through `points`, with an outline."""
    pixels, line = self.pixels(points, at), self.line if line is None else line
    if line:
      thickness = self._thickness(width + 2 * line)
      cv2.polylines(self.canvas, [pixels], False, INK, thickness, cv2.LINE_8, _BITS)
    fill, thickness = self._tinted(fill), self._thickness(width)
    cv2.polylines(self.canvas, [pixels], False, fill, thickness, cv2.LINE_8, _BITS)

  def star(self, centre: complex, radius: float, fill: Colour, line=0.0, turn=0.0, corners: int = 5) -> None:
    """A star, whose first point is up if `turn` is 0."""
    self.polygon(_star(radius, corners, turn), fill, line, centre)

  def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
    """A rectangle without an outline, parallel to the edges of the picture."""
    low, high = self._frame(complex(left, top)), self._frame(complex(right, bottom))
    one = 1 << _BITS  # OpenCV draws the last row and column too.
    corners = (round(low.real), round(low.imag)), (round(high.real) - one, round(high.imag) - one)
    if corners[1][0] >= corners[0][0] and corners[1][1] >= corners[0][1]:
      cv2.rectangle(self.canvas, *corners, self._tinted(fill), -1, cv2.LINE_8, _BITS)

  def shadow(self, centre: complex, rx: float, ry: float) -> None:
    """Darkens an ellipse of what is drawn already."""
    pixels = self.pixels(_rings(rx, ry, 0.0, 0.0)[:_CORNERS], centre)
    low, high = (pixels.min(0)[0] >> _BITS).clip(0), (pixels.max(0)[0] >> _BITS) + 1
    patch = self.canvas[low[1] : high[1] + 1, low[0] : high[0] + 1]
    if patch.size:
      mask = np.zeros(patch.shape[:2], np.uint8)
      cv2.fillPoly(mask, [pixels - (low << _BITS).astype(np.int32)], 1, cv2.LINE_8, _BITS)
      patch[mask > 0] = (patch[mask > 0] * 0.62).astype(np.uint8)

  def row(self, y: float) -> int:
    """The row of the canvas at height y."""
    return round((y - self.top) * self.scale)

  def pixels(self, points: Points, at: complex = 0) -> Int[np.ndarray, "points 1 2"]:
    """Coordinates for OpenCV, with _BITS binary places."""
    frame, points = self._frame, np.asarray(points, complex)
    mapped = frame.a * points
    if frame.b:
      mapped += frame.b * points.conj()
    mapped += frame(complex(at))
    return np.rint(mapped.view(np.float64)).astype(np.int32).reshape(-1, 1, 2)

  def _thickness(self, units: float) -> int:
    return max(1, round(units * self.scale))

  def _tinted(self, fill: Colour) -> Colour:
    return fill if self.tint is None else tuple(int(a * b) for a, b in zip(fill, self.tint, strict=True))
