"""The measured motion of the camera, on pictures whose camera is known."""

import cv2
import numpy as np
import pytest

from stale_jax.data.sources.filmed import MOTIONS, Filmed, film
from stale_jax.evaluation.camera import ink_motion, picture_motion
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


MOVING = [name for name, signs in MOTIONS.items() if any(signs)]


@pytest.mark.parametrize("motion", MOVING)
def test_the_motion_of_digits(motion):
  """The component across the digit's own motion shows the camera, and is exactly 0 without it.

  The digit leaves the canvas in part, so that zooming is measured a little low.
  """
  component = int(np.argmax(np.abs(MOTIONS[motion])))
  across = {0: (2, 3), 1: (0, 1), 2: (0, 1, 2, 3)}[component]  # Directions of the digit.

  def measured(name):
    source = Filmed(canvas=12, patch=1, motions=(name,), speed=SPEED)
    some = [source[i] for i in range(40)]
    clips = [x["clip"]["sight"] for x in some if x["labels"]["direction"] in across]
    return ink_motion(np.stack(clips))[:, component]

  moving = measured(motion) * MOTIONS[motion][component]
  assert moving.mean() == pytest.approx(SPEED, abs=0.08) and (moving > SPEED / 2).all()
  np.testing.assert_allclose(measured("static"), 0, atol=1e-5)


@pytest.mark.parametrize("motion", ["pan_left", "tilt_down"])
def test_the_flow_of_digits_shows_the_camera_too(motion):
  component = int(np.argmax(np.abs(MOTIONS[motion])))
  source = Filmed(canvas=16, patch=1, motions=(motion,), speed=SPEED)
  some = [source[i] for i in range(24)]
  across = [x for x in some if (x["labels"]["direction"] in (2, 3)) == (component == 0)]
  moving = np.array([picture_motion(x["clip"]["sight"])[component] for x in across])
  np.testing.assert_allclose(np.median(moving), SPEED * MOTIONS[motion][component], atol=0.08)


def test_a_still_clip_does_not_move():
  clip = np.repeat(next(textures(1, "static"))[:1], 4, 0)
  np.testing.assert_array_equal(picture_motion(clip), 0)
