"""What moves, is dark or is covered with writing is told from what is not."""

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from stale_jax.data.curate import Settings
from stale_jax.data.curate.motion import clip_speed
from stale_jax.data.curate.text_area import text_area
from stale_jax.testing.scenes import GOOD, RATE, scene

SETTINGS = Settings()


def grey(frames, height):
  width = round(frames.shape[2] / frames.shape[1] * height)
  small = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (width, height)) for f in frames]
  return np.stack(small)


def moved(kind, seed):
  frames = scene(kind, 1.5, seed)[:: RATE // 4]
  return clip_speed(grey(frames, 120), 0.25, 1 / 30)


@pytest.mark.parametrize("kind", GOOD)
def test_what_moves_is_not_static(kind):
  assert moved(kind, 1) > 2 * SETTINGS.least_motion


@pytest.mark.parametrize("kind", ["static", "slide"])
def test_what_does_not_move_is_static(kind):
  assert max(moved(kind, seed) for seed in range(3)) < SETTINGS.least_motion


def test_motion_is_measured_in_shorter_sides_a_second():
  canvas = scene("slide", 0.1, 3, 180, 640)[0]
  for pixels in (2, 5):
    frames = np.stack([canvas[:, i * pixels : i * pixels + 320] for i in range(5)])
    assert clip_speed(grey(frames, 180), 0.25) == pytest.approx(4 * pixels / 180, rel=0.15)


@pytest.mark.parametrize("kind", ["text", "credits"])
def test_writing_is_seen(kind):
  for seed in range(4):
    assert text_area(grey(scene(kind, 0.1, seed), 240)[0]) > SETTINGS.most_text


def test_other_pictures_are_not_covered_with_writing():
  photographs = [
    picture[y : y + 240, x : x + 400]
    for picture in load_sample_images().images
    for y in (0, 180)
    for x in (0, 240)
  ]
  pictures = [np.stack([p]) for p in photographs] + [scene(kind, 0.1, 5) for kind in GOOD]
  assert max(text_area(grey(frames, 240)[0]) for frames in pictures) < SETTINGS.most_text
  assert text_area(np.zeros((240, 320), np.uint8)) == 0
