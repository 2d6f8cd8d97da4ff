"""What an autoencoder is trained by: clips decoded as they were, few bits, and no patch that looks made.

  |x - x'|^2  +  feature mean_k |B_k (x - x')|^2 / e_k  +  kl nats  +  adversarial (-judge(x'))

The features are the bands B_k of a difference-of-Gaussians pyramid over time and space, each over the
energy e_k that it has on real clips: a perceptual network (LPIPS, arXiv 1801.03924) would have to be
brought along. Errors are squared, not absolute as LDM's: where most of a clip is background, the median
of what a pixel may be is the background, and an absolute error learns nothing else. The judge's own
hinge loss is minimised in the same step (arXiv 1705.02894), each side with the other's parameters held
fixed; its gradient at the decoded clip is scaled to the others' (the balance of LDM, arXiv 2112.10752,
and of EnCodec, arXiv 2210.13438).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.data.source import Source
from stale_jax.fields import check_fields, number
from stale_jax.objectives.prediction import real_frames
from stale_jax.objectives.pyramid import BANDS, split_bands

# Real clips on which the bands' energies are measured.
_CLIPS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction:
  """Settings of the sum above; `measured` makes the objective.

  Attributes:
    feature, kl, adversarial: weights; 0 disables the term.
    bands: of the pyramid.

  Raises:
    UserError: a negative weight, or fewer than two bands.
  """

  feature: float = number(0.5, least=0)
  kl: float = number(1e-3, least=0)
  adversarial: float = number(0.0, least=0)
  bands: int = number(BANDS, least=2)

  def __post_init__(self):
    check_fields(self, "objective")

  def measured(self, source) -> "ReconstructionLoss":
    """The objective, its bands weighed by their energies on the first real clips of `source`."""
    return ReconstructionLoss(settings=self, energies=measure_energies(source, self.bands))


def measure_energies(source: Source, count: int) -> Float[np.ndarray, "bands"]:
  """The mean square of each of `count` bands about the mean, on the first real clips that have sight."""
  clips = (source[i]["clip"] for i in range(min(_CLIPS, len(source))))
  seen = [np.asarray(clip["sight"], np.float64)[None] for clip in clips if "sight" in clip]
  mean = np.mean([x.mean() for x in seen])
  found = np.mean([[np.square(b).mean() for b in split_bands(x - mean, count)] for x in seen], 0)
  return np.maximum(found, 1e-2 * found.max())


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionLoss:
  """The sum above.

  Attributes:
    settings: the weights.
    energies: e_k of each band.
  """

  settings: Reconstruction
  energies: Float[np.ndarray, "bands"]

  def __call__(self, model, params, batch: Batch, key) -> dict[str, Float[Array, ""]]:
    """The `loss` to minimise and its terms: mse, feature, nats; with an adversary, fooled, balance and judge.

    Args:
      model: a `models.autoencoder.Autoencoder`.
      params: its parameters.
      batch: whose sense "sight" is coded.
      key: PRNG key of the drawn latents.
    """
    settings = self.settings
    x = batch.clip["sight"]
    clip, _, nats = model.apply(params, {"sight": x}, rngs={"latent": key})
    made, real = clip["sight"], real_frames("sight", batch, x)
    values = jnp.maximum(jnp.sum(real), 1)

    def likeness(made):
      difference = jnp.where(real, made - x, 0)
      mse = jnp.sum(jnp.square(difference)) / values
      parts = zip(split_bands(difference, settings.bands), self.energies, strict=True)
      feature = sum(jnp.sum(jnp.square(b)) / float(e) for b, e in parts) / (settings.bands * values)
      return mse + settings.feature * feature, (mse, feature)

    loss, (mse, feature) = likeness(made)
    metrics = {"mse": mse, "feature": feature, "nats": nats}
    total = loss + settings.kl * nats
    if settings.adversarial:
      held = jax.lax.stop_gradient(params)

      def fooled(made):
        return -jnp.mean(model.apply(held, made, method="judge"))

      still = jax.lax.stop_gradient(made)
      wanted, pulled = (jnp.linalg.norm(jax.grad(f)(still)) for f in (lambda y: likeness(y)[0], fooled))
      balance = jax.lax.stop_gradient(jnp.clip(wanted / (pulled + 1e-4), 0, 1e4))
      metrics["fooled"], metrics["balance"] = fooled(made), balance
      total += settings.adversarial * balance * metrics["fooled"]
      metrics["judge"] = 0.5 * (
        jnp.mean(jax.nn.relu(1 - model.apply(params, x, method="judge")))
        + jnp.mean(jax.nn.relu(1 + model.apply(params, still, method="judge")))
      )
      total += metrics["judge"]
    return {"loss": total, **metrics}
