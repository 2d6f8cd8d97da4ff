"""Converts pictures of high dynamic range (HDR) or wide gamut to ordinary ones, of ITU-R BT.709.

The light of a picture is computed from its values, its primaries are converted, its highlights are
compressed, and the result is encoded for an ordinary display (gamma 2.4, ITU-R BT.1886).

  light       PQ and HLG: ITU-R BT.2100, for a display of 1,000 cd/m2. The gamma of 1.2 of HLG (its OOTF) is
              applied to each channel, as ordinary cameras and displays apply theirs, so that colours look as
              they do in ordinary video
  highlights  the curve of ITU-R BT.2390 (EETF), from 1,000 cd/m2 to 203 cd/m2, the light of white paper and
              titles according to ITU-R BT.2408. Darker parts, up to 94 cd/m2, are unchanged. The curve is
              computed for the brightest channel and scales all three alike, which preserves the hue
"""

import functools

import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt16

HDR = {16: "pq", 18: "hlg"}  # Transfer functions of high dynamic range, by their codes in ISO/IEC 23091-2.

# Wide gamuts, by their codes in ISO/IEC 23091-2: chromaticity (x, y) of red, green and blue. White is D65.
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_WIDE = {9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), 11: _P3, 12: _P3}
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65 = (0.3127, 0.3290)

_PEAK, _WHITE = 1000.0, 203.0  # cd/m2
_GAMMA = 2.4


def is_ordinary(transfer: int, primaries: int) -> bool:
  """Whether a picture with these codes of ISO/IEC 23091-2 needs no conversion."""
  return transfer not in HDR and primaries not in _WIDE


def to_bt709(
  pixels: UInt16[np.ndarray, "height width 3"], transfer: int, primaries: int
) -> UInt8[np.ndarray, "height width 3"]:
  """Converts RGB values (0 to 65535) with these codes of ISO/IEC 23091-2 to those of BT.709 (0 to 255)."""
  light = _light(transfer)[pixels]
  if primaries in _WIDE:
    light = light @ _matrix(_WIDE[primaries]).T
  light = np.maximum(light, 0)
  if transfer in HDR:
    brightest = light.max(-1, keepdims=True)
    light *= np.interp(brightest, *_compression()).astype(np.float32)
  return np.rint(255 * np.minimum(light, 1) ** np.float32(1 / _GAMMA)).astype(np.uint8)


@functools.cache
def _light(transfer: int) -> Float32[np.ndarray, "65536"]:
  """The light of each value; 1 is the light of white."""
  values = np.linspace(0, 1, 1 << 16)
  if transfer not in HDR:
    return np.float32(values**_GAMMA)
  light = pq_to_light(values) if HDR[transfer] == "pq" else _PEAK * hlg_to_scene(values) ** 1.2
  return np.float32(light / _WHITE)


def pq_to_light(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
  """The EOTF of PQ: values (0 to 1) to light, in cd/m2."""
  root = values ** (32 / 2523)
  return 1e4 * (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)


def light_to_pq(light: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
  """The inverse of `pq_to_light`."""
  power = (light / 1e4) ** (2610 / 16384)
  return ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg_to_scene(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
  """The inverse OETF of HLG: values (0 to 1) to the light of the scene (0 to 1)."""
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)


@functools.cache
def _compression() -> tuple[Float[np.ndarray, "4096"], Float[np.ndarray, "4096"]]:
  """A table of the factor by which the channels are scaled.

  Returns:
    Light of the brightest channel (1 is the light of white), and the factor for it.
  """
  values = np.linspace(0, 1, 4096)[1:]
  least, most = light_to_pq(np.array([_WHITE, _PEAK]))
  most_out, source = least / most, np.minimum(values / most, 1)
  knee = 1.5 * most_out - 0.5
  t = np.maximum(source - knee, 0) / (1 - knee)
  curve = (
    (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 - 2 * t) * t**2 * most_out
  )
  light = pq_to_light(values)
  factor = pq_to_light(np.where(source < knee, source, curve) * most) / light
  return np.append(0, light / _WHITE), np.append(1, np.where(source < knee, 1, factor))


@functools.cache
def _matrix(corners: tuple[tuple[float, float], ...]) -> Float32[np.ndarray, "3 3"]:
  """The matrix from linear RGB of these primaries to that of BT.709."""
  return np.float32(np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(corners))


def _to_xyz(corners: tuple[tuple[float, float], ...]) -> Float[np.ndarray, "3 3"]:
  """The matrix from linear RGB of these primaries to CIE XYZ."""
  columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*corners, _D65)]).T
  return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
