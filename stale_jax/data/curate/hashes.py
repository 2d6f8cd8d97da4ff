"""Perceptual hashes: what stays of a picture when it is encoded again, resized, brightened, cropped a little.

A hash has 256 bits: the signs of the 16x16 lowest waves (cosine transform) of a 64x64 grey picture, against
their median, as in Facebook's PDQ (2019), the longest waves first. Resizing and encoding change few of them,
cropping many; so each picture is hashed whole, with its margins cut off, and with a corner cut off, and two
pictures are as far apart as the nearest two of their crops. A clip is hashed at several moments.
"""

import itertools

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# (share of each side that is cut off, how much of that at the top, and at the left).
_CORNERS = itertools.product((0.06,), (0.0, 1.0), (0.0, 1.0))
CROPS = ((0.0, 0.0, 0.0), (0.06, 0.5, 0.5), (0.12, 0.5, 0.5), *_CORNERS)
BITS = 256
_BAND = 2  # Bytes that two hashes must have in common somewhere, to be compared...
_BANDS = 8  # ... among the first so many, which are the longest waves.
_SIDE = 16
# A short wave is turned over by a shift that a long one hardly feels.
_ORDER = np.argsort(np.add.outer(np.arange(_SIDE), np.arange(_SIDE)).ravel(), kind="stable")


def clip_hash(frames: UInt8[np.ndarray, "moments height width"]) -> UInt8[np.ndarray, "moments crops 32"]:
  """The hashes of a clip's grey pictures, as bytes."""
  return np.stack([[_hash(_cropped(frame, *crop)) for crop in CROPS] for frame in frames])


def _cropped(
  frame: UInt8[np.ndarray, "height width"], share: float, top: float, left: float
) -> UInt8[np.ndarray, "height2 width2"]:
  height, width = frame.shape
  down, across = round(height * share), round(width * share)
  y, x = round(down * top), round(across * left)
  return frame[y : y + height - down, x : x + width - across]


def _hash(picture: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "32"]:
  small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
  # The first row and column are brightness, and how it falls off; not form.
  waves = cv2.dct(small)[1 : _SIDE + 1, 1 : _SIDE + 1].ravel()[_ORDER]
  return np.packbits(waves > np.median(waves))


def distances(
  one: UInt8[np.ndarray, "moments crops 32"], others: UInt8[np.ndarray, "n moments crops 32"]
) -> Float[np.ndarray, "n"]:
  """Bits of 256 by which clips differ, on average over their moments."""
  one, others = (np.ascontiguousarray(codes).view(np.uint64) for codes in (one, others))
  different = one[None, :, :, None] ^ others[:, :, None, :]
  bits = np.bitwise_count(different).sum(-1, dtype=np.int32)  # [n, moments, crops, crops]
  return bits.min((-2, -1)).mean(-1)


def hash_pieces(one: UInt8[np.ndarray, "moments crops 32"]) -> list[bytes]:
  """Pieces of the hashes, and where they are from: two clips that are near have one in common at least."""
  found = set()
  for moment, crops in enumerate(one):
    for code in crops.reshape(len(CROPS), -1, _BAND)[:, :_BANDS]:
      found |= {bytes([moment, place]) + piece.tobytes() for place, piece in enumerate(code)}
  return sorted(found)


def from_text(code: str) -> UInt8[np.ndarray, "moments crops 32"]:
  """The hash of a clip that was written down as `clip_hash(...).tobytes().hex()`."""
  return np.frombuffer(bytes.fromhex(code), np.uint8).reshape(-1, len(CROPS), BITS // 8)
