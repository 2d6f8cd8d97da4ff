"""Distances between sets of features: their formulas, and their bias by the number of clips."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from stale_jax.errors import UserError
from stale_jax.evaluation import frechet, kernel_distance


def test_frechet_is_its_formula():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(500, 5)), rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) + 1
  cov_a, cov_b = np.cov(a.T), np.cov(b.T)
  want = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
  assert frechet(a, b) == pytest.approx(want, rel=1e-8)
  assert frechet(a, a) == pytest.approx(0, abs=1e-8)


def test_one_feature_is_a_gaussian_on_the_line():
  rng = np.random.default_rng(0)
  a, b = rng.normal(1.0, 2.0, (300, 1)), rng.normal(-1.0, 0.5, (200, 1))
  want = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
  assert frechet(a, b) == pytest.approx(want, rel=1e-9)
  assert frechet(np.ones((2, 1)), np.full((3, 1), 4.0)) == pytest.approx(9.0)
  assert np.isfinite(kernel_distance(a, b))


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
@pytest.mark.parametrize(
  ("a", "b", "words"),
  [
    (np.ones((1, 4)), np.ones((5, 4)), r"a set has 1 clip\(s\): at least 2"),
    (np.ones((5, 4)), np.ones((0, 4)), r"a set has 0 clip\(s\): at least 2"),
    (np.ones((1, 1)), np.ones((1, 1)), r"a set has 1 clip\(s\): at least 2"),
    (np.ones((5, 4)), np.ones((5, 3)), "4 and 3 features"),
    (np.ones((5, 0)), np.ones((5, 0)), "0 and 0 features"),
    (np.diag([1, np.nan, 1, np.inf]), np.ones((5, 4)), "the features of 2 of 4 clips are not finite"),
    (np.ones((5, 4)), np.full((3, 4), np.nan), "the features of 3 of 3 clips are not finite"),
  ],
)
def test_sets_without_a_distance_are_one_line(distance, a, b, words):
  with pytest.raises(UserError, match=words) as caught:
    distance(a, b)
  assert "\n" not in str(caught.value)


def test_kernel_distance_by_brute_force():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1

  def mean(x, y):
    pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if x is not y or i != j]
    return sum((sum(x[i, k] * y[j, k] for k in range(3)) / 3 + 1) ** 3 for i, j in pairs) / len(pairs)

  want = mean(a, a) + mean(b, b) - 2 * mean(a, b)
  assert kernel_distance(a, b) == pytest.approx(want, rel=1e-12)
  assert kernel_distance(a.astype(np.float32), b) == pytest.approx(want, rel=1e-5)


def test_kernel_distance_is_unbiased_and_frechet_is_not():
  rng = np.random.default_rng(0)

  def draws(clips, shift=0.0):
    pairs = [(rng.normal(size=(clips, 96)), rng.normal(shift, size=(clips, 96))) for _ in range(200)]
    return np.array([(kernel_distance(a, b), frechet(a, b)) for a, b in pairs[: 200 if clips < 200 else 20]])

  # Features of equal distributions, 64 clips each.
  equal = draws(64)
  error = equal.std(0, ddof=1) / np.sqrt(len(equal))
  assert abs(equal[:, 0].mean()) < 3 * error[0]
  assert equal[:, 1].min() > 50
  # The distance of different distributions does not depend on the number of clips; Fréchet's does.
  few, many = draws(64, 0.3).mean(0), draws(1024, 0.3).mean(0)
  assert few[0] == pytest.approx(many[0], rel=0.1) and many[0] > 20 * error[0]
  assert few[1] > 3 * many[1]
