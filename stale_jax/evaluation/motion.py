"""Motion from one frame to the next, and how much of the change it explains."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float

from stale_jax.clip import intensity
from stale_jax.data.flow import flow

STILL = 0.1  # Pixels per frame; anything slower counts as still.
_SIGMA = 2.0  # Standard deviation, in pixels, of the Gaussian that averages the flow.


@dataclasses.dataclass(frozen=True)
class FrameMotion:
  """Motion between two neighbouring frames.

  Attributes:
    change: mean absolute difference of the frames, with values in [0, 1].
    speed: mean length of the flow, in pixels per frame. Each pixel is weighted by the squared gradient of the
      picture, since no flow can be measured where the picture is blank. It is biased, see `frame_motion`.
    dynamic: the dynamic degree, in pixels per frame: the same mean over the fastest pixels that together have
      a twentieth of the weight. (VBench, arXiv 2311.17982, weights all pixels equally and thresholds the
      result.)
    move: the mean flow as a vector (right, down), in pixels per frame, with the same weights.
    left: summed squared difference of the frames after the first frame is warped along the flow. Where
      nothing moves (`speed` is below STILL), `left` is `all`.
    all: summed squared difference of the frames without this warp, see `frame_motion`. Motion explains the
      share 1 - left / all of the change.
  """

  change: float
  speed: float
  dynamic: float
  move: tuple[float, float]
  left: float
  all: float


def frame_motion(
  before: Float[np.ndarray, "height width 3"], after: Float[np.ndarray, "height width 3"]
) -> FrameMotion:
  """Measures the motion between two frames in [-1, 1]. (The method is ours.)

  Both frames are blurred slightly (a Gaussian of .7 pixels): otherwise every sharp edge that moves by a
  fraction of a pixel would count as unexplained. The flow of `data.flow` is smoothed by a Gaussian of 2
  pixels, with the weights of `speed`, because a flow that may differ at every pixel can explain even noise.

  Warping by fractions of a pixel averages pixels, and an average is closer to any picture than a single pixel
  is: that alone "explains" a third of pure noise. `all` is therefore the smaller of the squared differences
  to the frame before, unwarped and warped the opposite way, which blurs it equally.

  `speed` is too low for small pictures that move as a whole. On moving textures (`testing.moving.textures`)
  at .5, 1 and 2 pixels per frame it is 15%, 7% and 8% low in pictures of 16 pixels, 2 to 4% low in 32, and 0
  to 4% low in 48. A digit that moves on a black canvas of 16 pixels is measured without bias. Compare speeds
  with those of real clips of the same size.
  """
  change = float(np.abs(intensity(after) - intensity(before)).mean())
  before, after = (cv2.GaussianBlur(intensity(x), (3, 3), 0.7) for x in (before, after))
  backward, weight = smooth_flow(before, after)
  speed, dynamic = _speeds(np.hypot(backward[..., 0], backward[..., 1]).ravel(), weight.ravel())
  move = -(backward * weight[..., None]).sum((0, 1)) / max(weight.sum(), 1e-9)
  left, opposite = (float(np.square(after - _warped(before, way)).sum()) for way in (backward, -backward))
  different = min(float(np.square(after - before).sum()), opposite)
  return FrameMotion(
    change=change,
    speed=speed,
    dynamic=dynamic,
    move=(float(move[0]), float(move[1])),
    left=left if speed >= STILL else different,
    all=different,
  )


def smooth_flow(
  before: Float[np.ndarray, "height width 3"], after: Float[np.ndarray, "height width 3"]
) -> tuple[Float[np.ndarray, "height width 2"], Float[np.ndarray, "height width"]]:
  """The smoothed flow between two slightly blurred pictures in [0, 1], and the weights of its pixels.

  Returns:
    (displacement from each pixel of `after` to `before`: (right, down) in pixels; squared gradient of
    `after`).
  """
  grey = [np.rint(255 * x.mean(-1)).astype(np.uint8) for x in (before, after)]
  weight = np.square(np.stack(np.gradient(grey[1].astype(np.float32)))).sum(0)
  # The finest level of the pyramid has a shorter side of 64 to 127 pixels: finer levels take longer and add
  # nothing.
  finest = max(0, min(grey[0].shape).bit_length() - 7)
  return _averaged(flow(grey[1], grey[0], finest), weight), weight


def _averaged(field: Float[np.ndarray, "height width 2"], weight: Float[np.ndarray, "height width"]):
  weight = weight + 1  # A gradient of one grey level, so that the weights are never all 0.
  total = cv2.GaussianBlur(field * weight[..., None], (0, 0), _SIGMA)
  return total / cv2.GaussianBlur(weight, (0, 0), _SIGMA)[..., None]


def _warped(picture: Float[np.ndarray, "height width 3"], field: Float[np.ndarray, "height width 2"]):
  """Samples `picture` at each pixel's position plus `field` (right, down)."""
  rows, columns = np.indices(picture.shape[:2], np.float32)
  places = columns + field[..., 0], rows + field[..., 1]
  return cv2.remap(picture, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _speeds(length: Float[np.ndarray, "pixels"], weight: Float[np.ndarray, "pixels"]) -> tuple[float, float]:
  """The weighted mean of `length`, and the mean over the fastest pixels with a twentieth of the weight."""
  total = weight.sum()
  if not total:
    return 0.0, 0.0
  order = np.argsort(-length)
  # The pixel at the edge of the twentieth counts in part.
  fastest = np.clip(total / 20 - (np.cumsum(weight[order]) - weight[order]), 0, weight[order])
  return float(np.average(length, weights=weight)), float(np.average(length[order], weights=fastest))
