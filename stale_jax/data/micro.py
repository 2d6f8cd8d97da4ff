"""Micro-conditions: what is known of a clip as a number, beside its caption.

A model that is told how fast it is sampled and how much moves in training can be asked for it (SVD, arXiv
2311.15127, after the sizes of SDXL, arXiv 2307.01952).

  fps     frames a second of the clip, as it was cut out of its video
  motion  how much moves, as curation measures it: in shorter sides of the picture a second
"""

from collections.abc import Mapping

import numpy as np

from stale_jax.clip import Clip
from stale_jax.errors import UserError


def measure(name: str, example: Mapping, rate: float) -> float:
  """That of `clip.MICRO` of an example; NaN where it is not known, as of an image.

  Args:
    name: which.
    example: of a source, its sight as bytes or as values.
    rate: frames a second, if the example does not say its `fps`.

  Raises:
    UserError: OpenCV, which measures motion, is not installed.
  """
  fps = example.get("fps", rate)
  if len(next(iter(example["clip"].values()))) < 2:
    return np.nan
  return fps if name == "fps" else measure_motion(example["clip"], fps)


def measure_motion(clip: Clip, fps: float) -> float:
  """How much moves in what is seen of one clip, [frames, height, width, 3], from frame to frame.

  NaN if nothing is seen. Raises UserError like `measure`.
  """
  if (sight := clip.get("sight")) is None:
    return np.nan
  try:
    from stale_jax.data.curate.motion import clip_speed
  except ImportError as error:
    raise UserError(f"motion is measured by OpenCV: pip install -e '.[curate]' ({error}).") from error
  pixels = sight if sight.dtype == np.uint8 else np.rint((np.clip(sight, -1, 1) + 1) * 127.5)
  # The weights of ITU-R BT.601, as everywhere.
  return clip_speed(np.rint(pixels @ np.float32([0.299, 0.587, 0.114])).astype(np.uint8), 1 / fps)
