"""The measured motion of the camera, on pictures whose camera is known."""

import cv2
import numpy as np
import pytest

from stale_jax.data.sources.filmed import MOTIONS, Filmed, film
from stale_jax.evaluation.camera import picture_motion
from stale_jax.testing.scenes import canvas

SPEED = 0.5


def textures(count: int, motion: str, side: int = 48, frames: int = 5):
  """Clips of a texture filmed by a moving camera, without their black margins."""
  for seed in range(count):
    rng = np.random.default_rng(seed)
    large = cv2.GaussianBlur(canvas(rng, 2 * side, 2 * side), (0, 0), 1.0).astype(np.float32) / 127.5 - 1
    shown = film(np.repeat(large[None], frames, 0), motion, SPEED)
    yield shown[:, side // 2 : -side // 2, side // 2 : -side // 2]


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_motion_of_textures(motion):
  """Each component is measured; the edge of the cropped picture moves half as fast when zooming."""
  want = SPEED * np.array(MOTIONS[motion]) * (1, 1, 0.5)
  got = np.mean([picture_motion(clip) for clip in textures(4, motion)], 0)
  np.testing.assert_allclose(got, want, atol=0.06)


@pytest.mark.parametrize("motion", [name for name, signs in MOTIONS.items() if any(signs)])
def test_the_motion_of_digits(motion):
  """The component across the digit's own motion shows the camera, and is 0 without it.

  Zooming is measured at half its speed: the flow is smoothed over most of so small a picture.
  """
  component = int(np.argmax(np.abs(MOTIONS[motion])))
  across = {0: (2, 3), 1: (0, 1), 2: (0, 1, 2, 3)}[component]  # Directions of the digit.

  def measured(name):
    source = Filmed(canvas=12, patch=1, motions=(name,), speed=SPEED)
    some = [source[i] for i in range(24)]
    clips = [x["clip"]["sight"] for x in some if x["labels"]["direction"] in across]
    return np.array([picture_motion(clip)[component] for clip in clips])

  moving, still = measured(motion) * MOTIONS[motion][component], measured("static")
  assert np.mean(moving > SPEED / 4) >= 0.9 and np.mean(np.abs(still) > SPEED / 4) <= 0.1
  if component < 2:
    assert moving.mean() == pytest.approx(SPEED, abs=0.06)


def test_a_still_clip_does_not_move():
  clip = np.repeat(next(textures(1, "static"))[:1], 4, 0)
  np.testing.assert_array_equal(picture_motion(clip), 0)
