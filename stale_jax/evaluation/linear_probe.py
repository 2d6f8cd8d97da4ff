"""Linear probes: ridge regression of one-hot labels on features, in closed form and float64."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

# Penalties relative to the mean square of the features.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearProbe:
  """An affine classifier of features.

  Attributes:
    mean, scale: of the features of the training clips; features are standardised with them.
    weights: one column per class.
    bias: the scores of a clip with mean features.
  """

  mean: Float[np.ndarray, "width"]
  scale: Float[np.ndarray, "width"]
  weights: Float[np.ndarray, "width classes"]
  bias: Float[np.ndarray, "classes"]

  def __call__(self, x: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n classes"]:
    """The score of each class."""
    return (x - self.mean) / self.scale @ self.weights + self.bias

  def accuracy(self, x: Float[np.ndarray, "n width"], labels: Bool[np.ndarray, "n classes"]) -> float:
    """The share of clips whose highest score belongs to one of their classes."""
    return float(labels[np.arange(len(labels)), self(x).argmax(-1)].mean())


def fit_probes(
  x: Float[np.ndarray, "n width"],
  labels: Bool[np.ndarray, "n classes"],
  penalties: Sequence[float] = PENALTIES,
) -> list[LinearProbe]:
  """Fits one probe per penalty.

  With standardised features X and centred one-hot labels Y, the weights W minimise
  |Y - X W|^2 + penalty n |W|^2. So W = (X'X + penalty n)^-1 X'Y, which equals X' (XX' + penalty n)^-1 Y; the
  smaller of the two systems is solved. A feature that does not vary has the weight 0.

  Args:
    x: features of the training clips.
    labels: which classes each clip belongs to.
    penalties: the penalties, above 0.
  """
  x, y = np.asarray(x, np.float64), np.asarray(labels, np.float64)
  mean, scale = x.mean(0), x.std(0)
  scale = np.where(scale > 1e-6 * max(scale.max(), 1e-30), scale, np.inf)
  x, bias = (x - mean) / scale, y.mean(0)
  few = len(x) < x.shape[1]
  gram = x @ x.T if few else x.T @ x
  probes = []
  for penalty in penalties:
    system = gram + penalty * len(x) * np.eye(len(gram))
    weights = x.T @ np.linalg.solve(system, y - bias) if few else np.linalg.solve(system, x.T @ (y - bias))
    probes.append(LinearProbe(mean=mean, scale=scale, weights=weights, bias=bias))
  return probes


def best_probe(
  train: tuple[Float[np.ndarray, "n width"], Bool[np.ndarray, "n classes"]],
  validation: tuple[Float[np.ndarray, "m width"], Bool[np.ndarray, "m classes"]],
) -> tuple[LinearProbe, float]:
  """Fits probes to the training clips, one per penalty of PENALTIES.

  Returns:
    (the probe with the highest accuracy on the validation clips, this accuracy); of equal probes, the one
    with the largest penalty.
  """
  scored = [(probe.accuracy(*validation), i, probe) for i, probe in enumerate(fit_probes(*train))]
  accuracy, _, probe = max(scored, key=lambda each: each[:2])
  return probe, accuracy
