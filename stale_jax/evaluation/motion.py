"""What moves from one frame to the next, and how much of the change is motion."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float

from stale_jax.clip import intensity
from stale_jax.data.flow import flow

STILL = 0.1  # Pixels a frame; slower is no motion.
_SIGMA = 2.0  # Pixels, over which the flow is averaged.


@dataclasses.dataclass(frozen=True)
class FrameMotion:
  """Of one frame after another.

  Attributes:
    change: mean |difference| of the two, of values in [0, 1].
    speed: pixels, the mean length of the flow over what can be seen: each pixel counts by the square of the
      picture's gradient, so that blank ones, where no flow can be known, do not.
    dynamic: the dynamic degree, pixels: the same over the fastest twentieth of what can be seen (VBench,
      arXiv 2311.17982, which makes it a yes or no; and of all pixels alike).
    move: the mean flow itself, right and down.
    left: squared difference that is left when the frame before has been moved along the flow, summed; all of
      it, where nothing moves (`speed` is less than STILL).
    all: squared difference that there was; 1 - left / all is explained by motion.
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
  """Measures what moved between two frames in [-1, 1].

  Both are blurred a little (a Gaussian of .7 pixels), or every edge between pixels that moves by a fraction
  of one would count as unexplained. The flow of `data.flow` is averaged over 2 pixels, weighted by what can
  be seen: a flow free to choose for every pixel finds one that explains noise. (All ours, as what follows.)

  Moving a frame by fractions of a pixel averages pixels, and the mean of several is nearer to anything than
  one of them: that alone "explains" a third of pure noise. `all` is therefore the lesser of the squared
  differences to the frame before as it is and moved the opposite way, which blurs it as much.
  """
  before, after = intensity(before), intensity(after)
  change = float(np.abs(after - before).mean())
  before, after = (cv2.GaussianBlur(x, (3, 3), 0.7) for x in (before, after))
  grey = [np.rint(255 * x.mean(-1)).astype(np.uint8) for x in (before, after)]
  seen = np.square(np.stack(np.gradient(grey[1].astype(np.float32)))).sum(0)
  # As fine as a picture of 64 to 127 pixels, so that larger ones do not take longer for nothing.
  found = _averaged(flow(grey[1], grey[0], max(0, min(grey[0].shape).bit_length() - 7)), seen)
  speed, dynamic = _speeds(np.hypot(found[..., 0], found[..., 1]).ravel(), seen.ravel())
  move = -(found * seen[..., None]).sum((0, 1)) / max(seen.sum(), 1e-9)
  left, wrong = (float(np.square(after - _moved(before, way)).sum()) for way in (found, -found))
  different = min(float(np.square(after - before).sum()), wrong)
  return FrameMotion(
    change=change,
    speed=speed,
    dynamic=dynamic,
    move=(float(move[0]), float(move[1])),
    left=left if speed >= STILL else different,
    all=different,
  )


def _averaged(found: Float[np.ndarray, "height width 2"], seen: Float[np.ndarray, "height width"]):
  weight = seen + 1  # As of a gradient of one grey level, lest nothing count.
  total = cv2.GaussianBlur(found * weight[..., None], (0, 0), _SIGMA)
  return total / cv2.GaussianBlur(weight, (0, 0), _SIGMA)[..., None]


def _moved(picture: Float[np.ndarray, "height width 3"], found: Float[np.ndarray, "height width 2"]):
  """Each pixel from where `found` says."""
  rows, columns = np.indices(picture.shape[:2], np.float32)
  places = columns + found[..., 0], rows + found[..., 1]
  return cv2.remap(picture, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _speeds(length: Float[np.ndarray, "pixels"], seen: Float[np.ndarray, "pixels"]) -> tuple[float, float]:
  """The mean over what is seen, and over the fastest twentieth of it."""
  total = seen.sum()
  if not total:
    return 0.0, 0.0
  order = np.argsort(-length)
  # Of the pixel at the edge of the twentieth only a part.
  fastest = np.clip(total / 20 - (np.cumsum(seen[order]) - seen[order]), 0, seen[order])
  return float(np.average(length, weights=seen)), float(np.average(length[order], weights=fastest))
