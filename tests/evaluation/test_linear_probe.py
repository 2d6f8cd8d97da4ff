"""Linear probes and calibration against closed forms and a public implementation."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from stale_jax.evaluation.calibration import (
  calibration_error,
  fit_temperature,
  negative_log_likelihood,
  softmin,
)
from stale_jax.evaluation.linear_probe import PENALTIES, best_probe, fit_probes

RNG = np.random.default_rng(0)


def planted(n: int, width: int):
  """Features of different scales; the first three decide the class, with some noise."""
  x = RNG.standard_normal((n, width))
  truth = np.argmax(x[:, :3] + 0.3 * RNG.standard_normal((n, 3)), 1)
  return x * np.linspace(0.1, 10, width) + 5, np.eye(3, dtype=bool)[truth]


@pytest.mark.parametrize(("n", "width"), [(40, 7), (12, 30)])
def test_it_is_ridge_regression(n, width):
  x, labels = planted(n, width)
  new = planted(9, width)[0]
  standard, mean = (x - x.mean(0)) / x.std(0), x.mean(0)
  for penalty, probe in zip(PENALTIES, fit_probes(x, labels), strict=True):
    want = Ridge(alpha=penalty * n, solver="svd").fit(standard, labels.astype(float))
    np.testing.assert_allclose(probe(new), want.predict((new - mean) / x.std(0)), atol=1e-9)


def test_a_feature_that_does_not_vary_is_ignored():
  x, labels = planted(40, 7)
  constant = np.concatenate([x, np.full((40, 1), 3.0)], 1)
  changed = np.concatenate([x, np.full((40, 1), 99.0)], 1)
  np.testing.assert_allclose(fit_probes(constant, labels)[0](changed), fit_probes(x, labels)[0](x), atol=1e-9)


def test_validation_clips_choose_the_penalty_and_noise_is_not_read():
  train, validation, test = (planted(n, 60) for n in (80, 400, 400))
  probe, accuracy = best_probe(train, validation)
  scores = [each.accuracy(*validation) for each in fit_probes(*train)]
  assert accuracy == max(scores) > min(scores) and probe.accuracy(*validation) == accuracy
  assert probe.accuracy(*test) > 0.5
  shuffled = [(x, RNG.permutation(labels)) for x, labels in (train, validation, test)]
  assert best_probe(*shuffled[:2])[0].accuracy(*shuffled[2]) < 0.45


def test_the_temperature_is_that_of_the_data():
  errors = RNG.exponential(0.01, (4000, 6))
  p = softmin(errors, 0.004)
  np.testing.assert_allclose(p.sum(1), 1)
  np.testing.assert_allclose(p, softmin(errors + 7, 0.004), rtol=1e-9)
  truth = np.array([RNG.choice(6, p=each) for each in p])
  assert fit_temperature(errors, truth) == pytest.approx(0.004, rel=0.1)
  assert calibration_error(p, truth) < 0.03
  sure = softmin(errors, 0.0004)
  assert calibration_error(sure, truth) > 0.1
  assert negative_log_likelihood(sure, truth) > negative_log_likelihood(p, truth) + 0.1


def test_a_perfect_classifier_has_a_finite_temperature():
  errors = np.tile([0.0, 1.0, 2.0], (30, 1))
  temperature = fit_temperature(errors, np.zeros(30, int))
  confidence = softmin(errors, temperature)[0, 0]
  assert 0.9 < confidence < 0.9999


def test_the_calibration_error_by_hand():
  posterior = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.25, 0.75]])
  # Bins .9 to 1: |1 - .95 - .95|; .6 to .7: |1 - .65|; .7 to .8: |1 - .75|.
  assert calibration_error(posterior, np.array([0, 1, 0, 1])) == pytest.approx((0.9 + 0.35 + 0.25) / 4)
  assert negative_log_likelihood(posterior, np.array([0, 1, 0, 1])) == pytest.approx(
    -np.log([0.95, 0.05, 0.65, 0.75]).mean()
  )
