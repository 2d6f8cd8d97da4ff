"""Micro-conditions: numbers that describe a clip and condition the model, beside the caption.

A model that is conditioned on frame rate and motion in training can be controlled by them in sampling (SVD,
arXiv 2311.15127, after the size conditioning of SDXL, arXiv 2307.01952).

  fps     frames per second at which the clip was sampled from its video
  motion  mean speed of the fastest tenth of the pixels, in multiples of the picture's shorter side per second
          (`curate.motion.clip_speed`)
"""

from collections.abc import Mapping

import numpy as np

from stale_jax.clip import Clip
from stale_jax.errors import UserError


def measure(name: str, example: Mapping, rate: float) -> float:
  """The micro-condition `name` of an example; NaN if it is unknown, for example for an image.

  Args:
    name: one of `clip.MICRO`, "fps" or "motion".
    example: an example of a source. Sight is uint8, or floats in [-1, 1].
    rate: frames per second, used if the example has no key `fps`.

  Raises:
    UserError: `name` is "motion" and OpenCV is not installed.
  """
  fps = example.get("fps", rate)
  if len(next(iter(example["clip"].values()))) < 2:
    return np.nan
  return fps if name == "fps" else measure_motion(example["clip"], fps)


def measure_motion(clip: Clip, fps: float) -> float:
  """The motion of a clip (see `curate.motion.clip_speed`); NaN if the clip has no sight.

  Args:
    clip: one clip without a batch axis. Sight is [frames, height, width, 3], uint8 or floats in [-1, 1].
    fps: frames per second.

  Raises:
    UserError: OpenCV is not installed.
  """
  if (sight := clip.get("sight")) is None:
    return np.nan
  try:
    from stale_jax.data.curate.motion import clip_speed
  except ImportError as error:
    raise UserError(f"measuring motion needs OpenCV: pip install -e '.[curate]' ({error}).") from error
  pixels = sight if sight.dtype == np.uint8 else np.rint((np.clip(sight, -1, 1) + 1) * 127.5)
  # Luma weights of ITU-R BT.601.
  return clip_speed(np.rint(pixels @ np.float32([0.299, 0.587, 0.114])).astype(np.uint8), 1 / fps)
