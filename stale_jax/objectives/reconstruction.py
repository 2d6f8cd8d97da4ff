"""The objective of an autoencoder: accurate reconstruction, few bits, and realistic patches.

  |x - x'|^2  +  feature mean_k |B_k (x - x')|^2 / e_k  +  kl nats  +  adversarial (-discriminator(x'))

The feature term compares the bands B_k of a difference-of-Gaussians pyramid over time and space, each divided
by its energy e_k on real clips. Unlike a perceptual loss (LPIPS, arXiv 1801.03924), it needs no pretrained
network. Errors are squared, not absolute as in LDM: where most of a clip is background, the median of a
pixel's possible values is the background, and an absolute error learns nothing else.

The hinge loss of the discriminator is minimised in the same step (arXiv 1705.02894). The parameters of the
autoencoder are fixed in the loss of the discriminator, and vice versa. The gradient of the adversarial term
at the decoded clip is scaled to the norm of the gradient of the other terms (the balance of LDM,
arXiv 2112.10752, and of EnCodec, arXiv 2210.13438).
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

# Number of real clips on which the energies of the bands are measured.
_CLIPS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction:
  """Settings of the objective of an autoencoder; `measured` returns the objective.

  Attributes:
    feature, kl, adversarial: weights of the terms; 0 disables a term.
    bands: number of bands of the pyramid.

  Raises:
    UserError: a negative weight, or fewer than two bands.
  """

  feature: float = number(0.5, least=0, most=1e6)
  kl: float = number(1e-3, least=0, most=1e6)
  adversarial: float = number(0.0, least=0, most=1e6)
  bands: int = number(BANDS, least=2, most=32)

  def __post_init__(self):
    check_fields(self, "objective")

  def measured(self, source) -> "ReconstructionLoss":
    """Returns the objective, with the energies of the bands measured on the first clips of `source`."""
    return ReconstructionLoss(settings=self, energies=measure_energies(source, self.bands))


def measure_energies(source: Source, count: int) -> Float[np.ndarray, "bands"]:
  """Measures the mean square of each of `count` bands of sight on the first clips of `source`.

  Clips without sight are skipped. The mean over all values is subtracted first. Energies below 1% of the
  largest energy are raised to this bound.
  """
  clips = (source[i]["clip"] for i in range(min(_CLIPS, len(source))))
  sights = [np.asarray(clip["sight"], np.float64)[None] for clip in clips if "sight" in clip]
  mean = np.mean([x.mean() for x in sights])
  energies = np.mean([[np.square(b).mean() for b in split_bands(x - mean, count)] for x in sights], 0)
  return np.maximum(energies, 1e-2 * energies.max())


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionLoss:
  """The objective of an autoencoder; the docstring of this module has the formula.

  Attributes:
    settings: the weights.
    energies: the energy e_k of each band on real clips.
  """

  settings: Reconstruction
  energies: Float[np.ndarray, "bands"]

  def __call__(self, model, params, batch: Batch, key) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise and its terms.

    Args:
      model: a `models.autoencoder.Autoencoder`.
      params: its parameters.
      batch: a batch of clips; the sense "sight" is encoded.
      key: PRNG key of the latents.

    Returns:
      `loss`, `mse`, `feature` and `nats`. With an adversarial term also `fooled` (the adversarial loss of the
      autoencoder), `balance` (the scale of that loss) and `judge` (the hinge loss of the discriminator).
    """
    settings = self.settings
    x = batch.clip["sight"]
    clip, _, nats = model.apply(params, {"sight": x}, rngs={"latent": key})
    decoded, real = clip["sight"], real_frames("sight", batch, x)
    values = jnp.maximum(jnp.sum(real), 1)

    def reconstruction_loss(decoded):
      difference = jnp.where(real, decoded - x, 0)
      mse = jnp.sum(jnp.square(difference)) / values
      bands = zip(split_bands(difference, settings.bands), self.energies, strict=True)
      feature = sum(jnp.sum(jnp.square(b)) / float(e) for b, e in bands) / (settings.bands * values)
      return mse + settings.feature * feature, (mse, feature)

    loss, (mse, feature) = reconstruction_loss(decoded)
    metrics = {"mse": mse, "feature": feature, "nats": nats}
    total = loss + settings.kl * nats
    if settings.adversarial:
      fixed_params, fixed_decoded = jax.lax.stop_gradient((params, decoded))

      def adversarial_loss(decoded):
        return -jnp.mean(model.apply(fixed_params, decoded, method="judge"))

      reconstruction_norm, adversarial_norm = (
        jnp.linalg.norm(jax.grad(f)(fixed_decoded))
        for f in (lambda y: reconstruction_loss(y)[0], adversarial_loss)
      )
      balance = jax.lax.stop_gradient(jnp.clip(reconstruction_norm / (adversarial_norm + 1e-4), 0, 1e4))
      metrics["fooled"], metrics["balance"] = adversarial_loss(decoded), balance
      total += settings.adversarial * balance * metrics["fooled"]
      metrics["judge"] = 0.5 * (
        jnp.mean(jax.nn.relu(1 - model.apply(params, x, method="judge")))
        + jnp.mean(jax.nn.relu(1 + model.apply(params, fixed_decoded, method="judge")))
      )
      total += metrics["judge"]
    return {"loss": total, **metrics}
