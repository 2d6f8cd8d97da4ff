"""Rendered orbits: geometry against closed forms and brute force."""

import numpy as np
import pytest

from stale_jax.data.sources.orbits import Orbits
from stale_jax.data.sources.rays import _DISTANCE, _FAR, _VIEW, Thing, _ball, _box, _rays, view
from stale_jax.errors import UserError

BALL = Thing(is_box=False, place=(0.0, 0.0), size=0.8, turn=0.0, colour=(1.0, 0.0, 0.0))
BOX = Thing(is_box=True, place=(0.7, -0.4), size=0.6, turn=0.5, colour=(0.0, 1.0, 0.0))


def inside(thing: Thing, point):
  x, y, z = point[..., 0] - thing.place[0], point[..., 1] - thing.size, point[..., 2] - thing.place[1]
  if not thing.is_box:
    return x**2 + y**2 + z**2 < thing.size**2
  sine, cosine = np.sin(thing.turn), np.cos(thing.turn)
  along = np.stack([cosine * x - sine * z, y, sine * x + cosine * z])
  return (np.abs(along) < thing.size).all(0)


@pytest.mark.parametrize(("thing", "cast"), [(BALL, _ball), (BOX, _box)])
def test_rays_stop_where_marching_does(thing, cast):
  """Brute force: small steps along each ray until a point is inside."""
  eye, ray = _rays(np.array([0.3, 2.0]), 0.5, 16)
  away, normal = cast(thing, eye, ray)
  steps = np.arange(3, 9, 0.002)
  points = eye[..., None, :] + steps[:, None] * ray[..., None, :]
  hits = inside(thing, points)
  want = np.where(hits.any(-1), steps[hits.argmax(-1)], _FAR)
  is_clear = (away < _FAR) == (want < _FAR)
  assert is_clear.mean() > 0.98 and (want < _FAR).sum() > 10  # Rays that graze an edge may differ.
  both = is_clear & (want < _FAR)
  np.testing.assert_allclose(away[both], want[both], atol=0.01)
  # The normal has length 1, and points towards the camera.
  np.testing.assert_allclose(np.linalg.norm(normal[both], axis=-1), 1, rtol=1e-6)
  assert ((normal * ray).sum(-1)[both] < 0).all()


def test_the_camera_looks_at_the_middle():
  """A ball around the middle of the scene is a disc in the middle, whatever the azimuth."""
  pictures = view((BALL,), np.array([0.0, 77.0, 200.0]), 30.0, 32)
  for picture in pictures:
    red = picture[..., 0] > 2 * picture[..., 1] + 0.1
    rows, columns = np.nonzero(red)
    assert columns.mean() == pytest.approx(15.5, abs=0.3)
    # The ball stands on the ground, so that its middle is above the middle of the scene by its radius.
    above = BALL.size * np.cos(np.deg2rad(30)) / (_DISTANCE - BALL.size * np.sin(np.deg2rad(30))) / _VIEW * 16
    assert 15.5 - rows.mean() == pytest.approx(above, abs=0.5)


def test_turning_the_camera_is_turning_the_scene():
  """Except for the light, which stays: the silhouettes are the same."""
  angle = np.deg2rad(50)
  x, z = BOX.place
  place = (x * np.cos(angle) - z * np.sin(angle), x * np.sin(angle) + z * np.cos(angle))
  turned = Thing(is_box=True, place=place, size=BOX.size, turn=BOX.turn - angle, colour=BOX.colour)
  [a], [b] = view((BOX,), np.array([50.0]), 30.0, 32, 1), view((turned,), np.array([0.0]), 30.0, 32, 1)
  green = [picture[..., 1] > picture[..., 0] for picture in (a, b)]
  assert green[0].sum() > 20
  assert (green[0] != green[1]).mean() < 0.01


def test_examples_are_determined_and_differ():
  source = Orbits(frames=4)
  np.testing.assert_array_equal(source[3]["clip"]["sight"], Orbits(frames=4)[3]["clip"]["sight"])
  others = [source[4], Orbits(frames=4, seed=1)[3], source.test_split()[3]]
  for other in others:
    assert np.abs(other["clip"]["sight"] - source[3]["clip"]["sight"]).max() > 0.1
  for i in range(20):
    orbit, example = source.orbit(i), source[i]
    way = 1 if example["caption"].endswith("right") else -1
    np.testing.assert_allclose(np.diff(orbit.azimuths), way * source.degrees)
    assert example["labels"] == {"way": (way + 1) // 2}
    np.testing.assert_array_equal(example["clip"]["sight"], source.pictures(orbit))
    a, b = orbit.things
    assert np.hypot(a.place[0] - b.place[0], a.place[1] - b.place[1]) > a.size + b.size
    assert np.abs(example["clip"]["sight"]).max() <= 1


def test_errors():
  with pytest.raises(UserError, match="elevations"):
    Orbits(elevations=(0.0, 20.0))
