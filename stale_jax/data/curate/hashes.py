"""Perceptual hashes, which change little when a picture is re-encoded, resized, brightened or cropped.

As in Facebook's PDQ (2019), a hash has 256 bits: whether each of the 16x16 lowest coefficients of the cosine
transform of a 64x64 grey picture is above their median. The bits are sorted by frequency, lowest first.
Resizing and encoding change few bits, but cropping changes many. Therefore several crops of each picture are
hashed: the whole picture, the picture without a margin on all sides, and the picture without a margin on two
adjacent sides. The distance of two pictures is the distance of their nearest crops. A clip is hashed at
several times.
"""

import itertools

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Crops: (fraction of height and width that is removed, share of the removed rows at the top, share of the
# removed columns at the left).
_CORNERS = itertools.product((0.06,), (0.0, 1.0), (0.0, 1.0))
CROPS = ((0.0, 0.0, 0.0), (0.06, 0.5, 0.5), (0.12, 0.5, 0.5), *_CORNERS)
BITS = 256
# Locality-sensitive hashing: two clips are compared if their hashes agree in one of the first _BANDS pieces,
# of _BAND bytes each.
_BAND, _BANDS = 2, 8
_SIDE = 16  # Coefficients along each axis.
# Lowest frequencies first: they are the least sensitive to shifts.
_ORDER = np.argsort(np.add.outer(np.arange(_SIDE), np.arange(_SIDE)).ravel(), kind="stable")


def clip_hash(frames: UInt8[np.ndarray, "moments height width"]) -> UInt8[np.ndarray, "moments crops 32"]:
  """Hashes each crop (see CROPS) of each of a clip's grey pictures to 32 bytes."""
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
  # The first row and column are left out: they describe brightness and its gradients, not shapes.
  coefficients = cv2.dct(small)[1 : _SIDE + 1, 1 : _SIDE + 1].ravel()[_ORDER]
  return np.packbits(coefficients > np.median(coefficients))


def distances(
  one: UInt8[np.ndarray, "moments crops 32"], others: UInt8[np.ndarray, "n moments crops 32"]
) -> Float[np.ndarray, "n"]:
  """The number of bits, from 0 to 256, in which a clip's hash differs from each of `n` others.

  At each time, the distance is that of the nearest pair of crops. The result is the mean over times.
  """
  one, others = (np.ascontiguousarray(codes).view(np.uint64) for codes in (one, others))
  different = one[None, :, :, None] ^ others[:, :, None, :]
  bits = np.bitwise_count(different).sum(-1, dtype=np.int32)  # [n, moments, crops, crops]
  return bits.min((-2, -1)).mean(-1)


def hash_pieces(one: UInt8[np.ndarray, "moments crops 32"]) -> list[bytes]:
  """Keys for locality-sensitive hashing: two clips are compared only if they share a key.

  A key consists of the number of the picture in the clip, the position of a piece in the hash, and the piece.
  """
  keys = set()
  for moment, crops in enumerate(one):
    for code in crops.reshape(len(CROPS), -1, _BAND)[:, :_BANDS]:
      keys |= {bytes([moment, position]) + piece.tobytes() for position, piece in enumerate(code)}
  return sorted(keys)


def from_text(code: str) -> UInt8[np.ndarray, "moments crops 32"]:
  """The inverse of `clip_hash(...).tobytes().hex()`."""
  return np.frombuffer(bytes.fromhex(code), np.uint8).reshape(-1, len(CROPS), BITS // 8)
