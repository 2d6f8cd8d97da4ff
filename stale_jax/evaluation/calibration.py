"""Calibration of a classifier: a temperature fitted on validation clips, and how well the posterior fits."""

import numpy as np
from jaxtyping import Float, Int

_TEMPERATURES = np.logspace(-12, 6, 1801)


def softmin(
  errors: Float[np.ndarray, "*clips classes"], temperature: float
) -> Float[np.ndarray, "*clips classes"]:
  """The posterior exp(-error / temperature), normalised over the classes."""
  logits = -np.asarray(errors, np.float64) / temperature
  weights = np.exp(logits - logits.max(-1, keepdims=True))
  return weights / weights.sum(-1, keepdims=True)


def negative_log_likelihood(
  posterior: Float[np.ndarray, "clips classes"], truth: Int[np.ndarray, "clips"]
) -> float:
  """Mean of -log p(true class), in nats."""
  p = posterior[np.arange(len(truth)), truth]
  return float(-np.log(np.maximum(p, np.finfo(np.float64).tiny)).mean())


def calibration_error(
  posterior: Float[np.ndarray, "clips classes"], truth: Int[np.ndarray, "clips"], bins: int = 10
) -> float:
  """Expected calibration error (Guo et al., arXiv 1706.04599, eq. 3).

  The clips are put into bins of equal width by the probability of their most probable class. The result is
  the mean over clips of |accuracy - mean probability| of the clip's bin.
  """
  confidence, right = posterior.max(-1), posterior.argmax(-1) == truth
  of_bin = np.minimum((confidence * bins).astype(int), bins - 1)
  gaps = [abs((right[of_bin == b] - confidence[of_bin == b]).sum()) for b in range(bins)]
  return float(sum(gaps) / len(truth))


def fit_temperature(errors: Float[np.ndarray, "clips classes"], truth: Int[np.ndarray, "clips"]) -> float:
  """The temperature of `softmin` with the lowest negative log-likelihood (arXiv 1706.04599, section 4.2).

  It is found on a logarithmic grid with 100 values per decade. If all clips are classified correctly, their
  likelihood only grows as the temperature falls. So one pseudo-clip is added, as in Laplace's rule of
  succession: its sorted errors are the mean of the clips' sorted errors, and its label is uniform.
  """
  errors = np.asarray(errors, np.float64)
  pseudo = np.sort(errors, -1).mean(0)

  def total(temperature):
    posterior = softmin(errors, temperature)
    logits = -pseudo / temperature
    uniform = np.logaddexp.reduce(logits) - logits.mean()
    return len(truth) * negative_log_likelihood(posterior, truth) + uniform

  return float(min(_TEMPERATURES, key=total))
