"""The bias of measured speeds is what the docstring of `frame_motion` says."""

import numpy as np
import pytest

from stale_jax.evaluation.motion import frame_motion
from stale_jax.testing import moving


def mean_speed(clips) -> float:
  return float(np.mean([frame_motion(a, b).speed for x in clips for a, b in zip(x[:-1], x[1:], strict=True)]))


@pytest.mark.parametrize(
  ("side", "low"),
  [(16, (0.15, 0.07, 0.08)), (32, (0.04, 0.03, 0.02)), (48, (0.04, 0.01, 0.0))],
)
def test_speeds_of_small_moving_textures_are_low(side, low):
  for pace, bias in zip((0.5, 1.0, 2.0), low, strict=True):
    measured = mean_speed(moving.textures(moving.steady(8, pace), 24, 1, side)) / pace
    assert 1 - measured == pytest.approx(bias, abs=0.015)


def test_speeds_of_digits_are_not():
  assert mean_speed(moving.digits(moving.steady(12, 1.0), 24, 3, 16)) == pytest.approx(1, abs=0.03)
