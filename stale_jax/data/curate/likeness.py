"""Measures how alike two clips are: the correlation of what stands still in them and of what moves.

A fixed camera shows the same picture in all of its clips. Therefore pictures alone cannot tell a copy from
another recording of the same place and person: what moves must be the same too, at the same times.

A clip is represented by blurred grey pictures of 16x16 pixels at equal intervals. For two clips, one is
shifted in time against the other. The mean over time of the overlapping pictures is what stands still, and
the changes between consecutive pictures are what moves. The likeness is the lesser of the two correlations,
and the greatest over all shifts in time, over mirroring, and over crops of up to 8% of either clip.

For finding candidates among many clips without comparing all pairs, a clip also has codes. A code consists of
the signs of low-frequency coefficients of the cosine transform of a picture, like a perceptual hash (pHash).
Only coefficients that are even in the horizontal direction are used: mirroring does not change them.
"""

import base64
import functools
import itertools
import math
from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Bool, Float32, UInt8, UInt64

SIDE = 16  # Height and width of the pictures.
BITS = 64  # Bits of a code.
# Crops: (fraction of height and width that is removed, share of it at the top, share of it at the left).
_PLACES = tuple(itertools.product((0.0, 0.5, 1.0), repeat=2))
_CROPS = tuple((share, *place) for share in (0.02, 0.04, 0.06, 0.08) for place in _PLACES)
# The crops that have codes.
_CODED = tuple(crop for crop in _CROPS if crop[0] in (0.04, 0.08) and crop[1:].count(0.5) in (0, 2))
_EVERY = 2  # Every second picture has a code. Crops have codes at the following fractions of the clip.
_CROPPED_AT = (0.25, 0.75)
_OVERLAP = 0.7  # Least share of the shorter clip that overlaps the other, when one is shifted in time.
_SHORTEST = 3  # Least number of overlapping pictures.
# Standard deviation of the noise of a codec in the small pictures, in grey levels. It counts as a difference
# between clips in which nothing moves.
_NOISE = 0.25
# Blurs a side of a small picture with the weights 1, 2, 1. Beyond its edge a picture is reflected.
_BLUR = cv2.filter2D(np.eye(SIDE, dtype=np.float32), -1, np.float32([[0.25], [0.5], [0.25]]))
# Crops are compared if the likeness without crops is at least this share of the one asked for. The least that
# was measured on copies with crops of up to 8% is .54.
_UNCROPPED = 0.5
# (row, column) of the coefficients, lowest frequencies first. The first 31 are used for band keys.
_COEFFICIENTS = [(row, column) for row in range(8) for column in (0, 2, 4, 6) if row + column]
_COEFFICIENTS.sort(key=lambda at: (sum(at), at[1]))
_HIGHER = [(r, c) for r in range(13) for c in (0, 2, 4, 6, 8) if r > 7 or c > 6]
_COEFFICIENTS += sorted(_HIGHER, key=lambda at: (sum(at), at[1]))[: BITS - len(_COEFFICIENTS)]
_ROWS, _COLUMNS = np.array(_COEFFICIENTS).T
_COSINES = scipy.fft.dct(np.eye(SIDE), axis=0, norm="ortho").astype(np.float32)
_WEIGHTS = 1 << np.arange(BITS, dtype=np.uint64)


class Look(NamedTuple):
  """What is compared of a clip.

  Attributes:
    pictures: grey pictures at equal intervals.
    codes: codes of some of the pictures and of their crops.
  """

  pictures: UInt8[np.ndarray, "times 16 16"]
  codes: UInt64[np.ndarray, "codes"]

  def to_text(self) -> str:
    """A string that `look_from_text` parses."""
    head = np.uint32(len(self.pictures)).tobytes()
    return base64.b85encode(head + self.pictures.tobytes() + self.codes.tobytes()).decode()


def look_from_text(text: str) -> Look:
  """The inverse of `Look.to_text`."""
  data = base64.b85decode(text)
  end = 4 + int(np.frombuffer(data[:4], np.uint32)[0]) * SIDE**2
  pictures = np.frombuffer(data[4:end], np.uint8).reshape(-1, SIDE, SIDE)
  return Look(pictures=pictures, codes=np.frombuffer(data[end:], np.uint64))


def look_of(grey: UInt8[np.ndarray, "times height width"]) -> Look:
  """The `Look` of a clip, from its grey pictures at equal intervals."""
  small = np.stack([_shrunk(picture) for picture in grey])
  coded = list(small[::_EVERY])
  for time in sorted({round(share * (len(grey) - 1)) for share in _CROPPED_AT}):
    coded += [_shrunk(_cropped(grey[time], *crop)) for crop in _CODED]
  return Look(pictures=np.rint(small).astype(np.uint8), codes=np.unique(codes_of(np.stack(coded))))


def _shrunk(picture: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "16 16"]:
  return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _cropped(
  picture: UInt8[np.ndarray, "height width"], share: float, top: float, left: float
) -> UInt8[np.ndarray, "height2 width2"]:
  height, width = picture.shape
  down, across = round(height * share), round(width * share)
  y, x = round(down * top), round(across * left)
  return picture[y : y + height - down, x : x + width - across]


def codes_of(pictures: Float32[np.ndarray, "n 16 16"]) -> UInt64[np.ndarray, "n"]:
  """The code of each small grey picture, see the head of this file."""
  coefficients = _COSINES @ pictures @ _COSINES.T
  return ((coefficients[:, _ROWS, _COLUMNS] > 0) * _WEIGHTS).sum(-1, dtype=np.uint64)


def _crop_matrix(share: float, start: float) -> Float32[np.ndarray, "16 16"]:
  """Resamples a side of a small picture to its crop, by averaging over the area of each new pixel."""
  edges = (start * share + (1 - share) * np.arange(SIDE + 1) / SIDE) * SIDE
  low, high = edges[:-1, None], edges[1:, None]
  pixel = np.arange(SIDE)
  overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
  return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)


_DOWN = np.stack([_crop_matrix(share, top) for share, top, _ in _CROPS])
_ACROSS = np.stack([_crop_matrix(share, left) for share, _, left in _CROPS])


class Compared:
  """The pictures of a clip and of its crops, prepared for the comparison with many other clips."""

  def __init__(self, pictures: UInt8[np.ndarray, "times 16 16"]):
    self._pictures = _blurred(pictures)[None]

  @functools.cached_property
  def whole(self) -> "_Movie":
    """The pictures."""
    return _movie(self._pictures)

  @functools.cached_property
  def mirrored(self) -> "_Movie":
    """The mirrored pictures."""
    return _movie(self._pictures[..., ::-1])

  @functools.cached_property
  def crops(self) -> "_Movie":
    """The crops, which few comparisons need."""
    return _movie(self._cropped)

  @functools.cached_property
  def mirrored_crops(self) -> "_Movie":
    """The mirrored crops."""
    return _movie(self._cropped[..., ::-1])

  @functools.cached_property
  def _cropped(self) -> Float32[np.ndarray, "crops times 16 16"]:
    # Two products of matrices, one for all crops and one for each; einsum takes nine times as long.
    times = self._pictures.shape[1]
    rows = _DOWN.reshape(-1, SIDE) @ self._pictures[0].transpose(1, 0, 2).reshape(SIDE, -1)
    both = rows.reshape(len(_CROPS), -1, SIDE) @ _ACROSS.transpose(0, 2, 1)
    return np.ascontiguousarray(both.reshape(-1, SIDE, times, SIDE).transpose(0, 2, 1, 3))


class _Movie(NamedTuple):
  """Versions of a clip, or several clips of one length.

  Sums over a range of times are differences of cumulative sums.

  Attributes:
    sums: cumulative sums over time of the pictures, each minus its mean.
    changes: differences between consecutive pictures.
    energy: cumulative sums over time of the squared norms of the differences.
  """

  sums: Float32[np.ndarray, "versions times+1 256"]
  changes: Float32[np.ndarray, "versions times-1 256"]
  energy: Float32[np.ndarray, "versions times"]


def _blurred(pictures: UInt8[np.ndarray, "*n 16 16"]) -> Float32[np.ndarray, "*n 16 16"]:
  """The pictures without what depends on where small things lie between the pixels, which a crop changes."""
  return _BLUR @ pictures.astype(np.float32) @ _BLUR.T


def _movie(pictures: Float32[np.ndarray, "versions times 16 16"]) -> _Movie:
  flat = pictures.reshape(*pictures.shape[:2], -1)
  flat = flat - flat.mean(-1, keepdims=True)
  changes = np.diff(flat, axis=1)
  energy = np.einsum("vtp,vtp->vt", changes, changes)
  return _Movie(sums=_cumulated(flat), changes=changes, energy=_cumulated(energy))


def _cumulated(x: Float32[np.ndarray, "versions times *n"]) -> Float32[np.ndarray, "versions times+1 *n"]:
  """Sums of `x` over all times before each time; a loop is several times as fast as `np.cumsum`."""
  sums = np.zeros((len(x), x.shape[1] + 1, *x.shape[2:]), np.float32)
  for time in range(x.shape[1]):
    np.add(sums[:, time], x[:, time], out=sums[:, time + 1])
  return sums


def likeness(one: Compared, other: Compared, least: float = 0.0) -> float:
  """How alike two clips are, from -1 to 1; see the head of this file.

  Args:
    one, other: the clips.
    least: if the likeness is clearly below this, some value below it may be returned, which is faster.
  """
  best = -1.0
  for mirrored in (False, True):
    turned = other.mirrored if mirrored else other.whole
    whole = _correlations(one.whole, turned).max()
    best = max(best, whole)
    if whole >= _UNCROPPED * least:
      crops = other.mirrored_crops if mirrored else other.crops
      best = max(best, _correlations(one.crops, turned).max(), _correlations(one.whole, crops).max())
  return float(best)


def may_be_alike(
  ones: UInt8[np.ndarray, "pairs times 16 16"],
  others: UInt8[np.ndarray, "pairs times2 16 16"],
  least: float,
) -> Bool[np.ndarray, "pairs"]:
  """Which of many pairs of clips may have a likeness of at least `least`, judged without crops."""
  one, others = _movie(_blurred(ones)), _blurred(others)
  best = np.maximum(*(_correlations(one, _movie(turned)) for turned in (others, others[..., ::-1])))
  return best >= _UNCROPPED * least


def _correlations(a: _Movie, b: _Movie) -> Float32[np.ndarray, "versions"]:
  """The greatest likeness over all shifts of each pair of versions; `a` or `b` may have only one version."""
  m, n = a.sums.shape[1] - 1, b.sums.shape[1] - 1
  need = max(min(_SHORTEST, m, n), math.ceil(_OVERLAP * min(m, n)))
  shifts = np.arange(need - n, m - need + 1)  # Picture t of `b` is compared with picture t + shift of `a`.
  first = np.maximum(shifts, 0)
  count = np.minimum(m - first, n - np.maximum(-shifts, 0))
  second = first - shifts
  length = count.astype(np.float32)
  means = [(x.sums[:, k + count] - x.sums[:, k]) / length[:, None] for x, k in ((a, first), (b, second))]
  noise = _NOISE**2 * SIDE**2
  still = [(mean**2).sum(-1) + noise for mean in means]
  pictures = ((means[0] * means[1]).sum(-1) + noise) / np.sqrt(still[0] * still[1])
  products = a.changes @ b.changes.transpose(0, 2, 1)
  along = np.stack([np.trace(products, -shift, 1, 2) for shift in shifts], -1)
  noise = 2 * noise * (length - 1)  # A change has the noise of two pictures.
  moving = [x.energy[:, k + count - 1] - x.energy[:, k] + noise for x, k in ((a, first), (b, second))]
  return np.minimum(pictures, along / np.sqrt(moving[0] * moving[1])).max(-1)
