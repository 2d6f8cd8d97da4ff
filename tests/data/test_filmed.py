"""Digits filmed by a moving camera."""

import numpy as np
import pytest

from stale_jax.data.sources.digits import Digits
from stale_jax.data.sources.filmed import MOTIONS, Filmed, film
from stale_jax.errors import UserError


def test_a_static_camera_changes_nothing():
  want, got = Digits(frames=4)[7], Filmed(frames=4)[7]
  for name, x in want["clip"].items():
    np.testing.assert_array_equal(got["clip"][name], x)
  assert got["caption"] == want["caption"] and got["labels"] == {**want["labels"], "camera": 0}


@pytest.mark.parametrize(
  ("motion", "shift"),
  [("pan_left", (0, 1)), ("pan_right", (0, -1)), ("tilt_up", (1, 0)), ("tilt_down", (-1, 0))],
)
def test_the_picture_moves_against_the_camera(motion, shift):
  """By whole pixels, as numpy rolls; what comes into view is black."""
  still = Digits(frames=1, patch=1, canvas=16, background=0.5)[3]["clip"]["sight"][0]
  shown = film(np.repeat(still[None], 5, 0), motion, 1.0)
  for frame, ahead in enumerate(range(-2, 3)):
    down, right = (ahead * x for x in shift)
    want = np.full_like(still, -1)
    to, of = ([slice(max(way * n, 0), 16 + min(way * n, 0)) for n in (down, right)] for way in (1, -1))
    want[to[0], to[1]] = still[of[0], of[1]]
    np.testing.assert_allclose(shown[frame], want, atol=1e-5)


def test_zooming_in_enlarges():
  """The spread of the ink grows with the scale, which is exp(speed / half of the side) per frame."""
  picture = np.full((32, 32, 3), -1, np.float32)
  picture[12:20, 12:20] = 1
  areas = [(x[..., 0] + 1).sum() / 2 for x in film(np.repeat(picture[None], 3, 0), "zoom_in", 2.0)]
  np.testing.assert_allclose(np.divide(areas[1:], areas[:-1]), np.exp(2 * 2.0 / 16), rtol=0.02)
  areas = [(x[..., 0] + 1).sum() / 2 for x in film(np.repeat(picture[None], 3, 0), "zoom_out", 2.0)]
  assert areas[0] > areas[1] > areas[2]


def test_the_motion_is_drawn_by_index():
  source = Filmed(frames=4, motions=("pan_left", "zoom_in"), seed=2)
  drawn = [source[i]["labels"]["camera"] for i in range(60)]
  assert set(drawn) == {list(MOTIONS).index(name) for name in source.motions}
  assert 15 < drawn.count(drawn[0]) < 45
  np.testing.assert_array_equal(source[5]["clip"]["sight"], source[5]["clip"]["sight"])


def test_errors():
  with pytest.raises(UserError, match="source.motions is empty"):
    Filmed(motions=())
  with pytest.raises(UserError, match="did you mean 'pan_left'"):
    Filmed(motions=("pan_lef",))
