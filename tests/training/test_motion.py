"""The motion predictor: what it begins as, what it keeps, and that the one in the package knows bounces."""

import dataclasses

import jax
import numpy as np
import pytest

from stale_jax.data import Digits
from stale_jax.models.motion_predictor import MotionPredictor, interpolated
from stale_jax.training.motion import load_motion, save_motion, sights

FRAMES = 9


def test_it_begins_as_the_line_and_keeps_its_ends():
  rng = np.random.default_rng(0)
  start, end = rng.standard_normal((2, 3, 4, 4, 2)).astype(np.float32)
  model = MotionPredictor(width=16, depth=2, heads=2)
  params = model.init(jax.random.key(0), start, end, FRAMES)
  line = np.stack([start + (end - start) * i / (FRAMES - 1) for i in range(FRAMES)], 1)
  np.testing.assert_allclose(interpolated(start, end, FRAMES), line, atol=1e-6)
  np.testing.assert_allclose(model.apply(params, start, end, FRAMES), line, atol=1e-6)
  drawn = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), params)
  moved = np.asarray(model.apply(drawn, start, end, FRAMES))
  np.testing.assert_allclose(moved[:, [0, -1]], line[:, [0, -1]], atol=1e-6)
  assert (np.abs(moved - line)[:, 1:-1].max((2, 3, 4)) > 0.1).all()


@pytest.mark.system
def test_the_one_in_the_package_beats_the_line_where_motion_bounces(tmp_path):
  motion = load_motion()
  sight = sights(Digits(split="test", frames=motion.frames, patch=1), 0, 48)
  codes, middle = motion.encode(sight), motion.frames // 2
  made = motion.predict(codes[:, 0], codes[:, -1])
  line = interpolated(codes[:, 0], codes[:, -1], motion.frames)
  errors = [np.mean(np.square(np.asarray(x)[:, middle] - codes[:, middle])) for x in (made, line)]
  assert errors[0] <= 0.7 * errors[1]
  pictures = motion.between(sight[:4, 0], sight[:4, -1])
  assert pictures.shape == (4, motion.frames - 2, *motion.shape) and np.abs(pictures).max() <= 1

  save_motion(tmp_path / "motion.safetensors", motion)
  again = load_motion(tmp_path / "motion.safetensors")
  np.testing.assert_array_equal(again.predict(codes[:, 0], codes[:, -1]), made)
  other = dataclasses.replace(motion, params=jax.tree.map(np.zeros_like, motion.params))
  assert np.abs(other.predict(codes[:, 0], codes[:, -1]) - made).max() > 0.1
