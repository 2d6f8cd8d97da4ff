"""Moving digits, filmed by a camera that pans, tilts or zooms."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float

from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.fields import choice, number

# Motion of the camera -> motion of the picture: (right, down, growth), in units of `Filmed.speed`.
MOTIONS = {
  "static": (0, 0, 0),
  "pan_left": (1, 0, 0),
  "pan_right": (-1, 0, 0),
  "tilt_up": (0, 1, 0),
  "tilt_down": (0, -1, 0),
  "zoom_in": (0, 0, 1),
  "zoom_out": (0, 0, -1),
}


def film(
  sight: Float[np.ndarray, "frames side side 3"], motion: str, speed: float
) -> Float[np.ndarray, "frames side side 3"]:
  """The pictures that a moving camera takes of `sight`; what lies outside of `sight` is black.

  In the middle of the clip the camera sees `sight` as it is.

  Args:
    sight: pictures in [-1, 1].
    motion: a key of MOTIONS.
    speed: pixels per frame; when zooming, of the middle of each edge, at its distance in `sight`.
  """
  right, down, growth = (speed * x for x in MOTIONS[motion])
  middle = (sight.shape[1] - 1) / 2
  filmed = []
  for picture, ahead in zip(sight, np.arange(len(sight)) - (len(sight) - 1) / 2, strict=True):
    scale = np.exp(ahead * growth / (sight.shape[1] / 2))
    still = (1 - scale) * middle
    matrix = np.array([[scale, 0, still + right * ahead], [0, scale, still + down * ahead]])
    shown = cv2.warpAffine(picture, matrix, picture.shape[:2], flags=cv2.INTER_LINEAR, borderValue=(-1,) * 3)
    filmed.append(shown)
  return np.stack(filmed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filmed(Digits):
  """Clips of `Digits` in which the camera moves; the captions do not say so.

  An adapter that is trained on clips of one motion adds this motion to a model of `Digits`. The other senses
  are those of `Digits`: a digit bounces off the walls of the scene, not off the edges of the picture.

  Attributes:
    motions: motions of the camera; each clip has one of them, drawn from its index.
    speed: pixels per frame by which the edge of the picture moves.
  """

  motions: tuple[str, ...] = choice(("static",), MOTIONS)
  speed: float = number(0.5, least=0, most=1000)

  def __post_init__(self):
    super().__post_init__()
    if not self.motions:
      raise UserError(f"source.motions is empty; name at least one of {', '.join(MOTIONS)}.")

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    return {**super().labels, "camera": len(MOTIONS)}

  def __getitem__(self, index: int) -> dict:
    """The example at `index`, as in `Digits`."""
    example = super().__getitem__(index)
    drawn = np.random.Generator(np.random.Philox(key=[self.seed, int(index)], counter=[0, 0, 0, 1]))
    motion = self.motions[drawn.integers(len(self.motions))]
    sight = film(example["clip"]["sight"], motion, self.speed)
    labels = {**example["labels"], "camera": list(MOTIONS).index(motion)}
    return {**example, "clip": {**example["clip"], "sight": sight}, "labels": labels}
