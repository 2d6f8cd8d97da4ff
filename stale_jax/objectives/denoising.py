"""The denoising objective: the loss of the process, averaged over the real frames of each sense."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.fields import check_fields, number
from stale_jax.objectives.objective import Objective
from stale_jax.objectives.prediction import Prediction, real_frames
from stale_jax.processes import Process


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denoising(Objective):
  """Weighted mean over senses of `Process.loss`.

  Attributes:
    process: the noising process, which defines the loss.
    weights: sense -> weight; 1 for senses without an entry.
  """

  process: Process
  weights: Mapping[str, float] = number({}, least=0, most=1e6)

  def __post_init__(self):
    check_fields(self, "objective")

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and the loss of each sense as `loss/<sense>`."""
    losses, total = {}, jnp.zeros(())
    for name, output in prediction.output.items():
      loss = self.process.loss(output, prediction.corruption[name], prediction.t)
      real = real_frames(name, batch, loss)
      losses[f"loss/{name}"] = jnp.sum(loss * real) / jnp.maximum(jnp.sum(real), 1)
      total += self.weights.get(name, 1.0) * losses[f"loss/{name}"]
    return {"loss": total, **losses}
