"""What training perturbs inside the network: active only where `apply` is given an rng "perturb"."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class TokenDrop(nn.Module):
  """Masks tokens out of attention, and out of nothing else.

  Nobody attends to a dropped token; it attends to the others and is denoised from its own
  content as ever, so its loss counts. (MaskDiT, arXiv 2306.09305, takes masked tokens out of
  the network altogether and hence out of its denoising loss; here nothing is asked of a token
  that it cannot know.) As with a missing sense the weights of the rest still add up to one.

  Attributes:
    rate: share of tokens.
  """

  rate: float

  @nn.compact
  def __call__(self, real: Bool[Array, "batch tokens"]) -> Bool[Array, "batch tokens"]:
    """Which tokens are seen, of those that are real."""
    if not self.rate or not self.has_rng("perturb"):
      return real
    return real & ~jax.random.bernoulli(self.make_rng("perturb"), self.rate, real.shape)


class EmbeddingNoise(nn.Module):
  """e + z with z ~ N(0, gamma^2 / d), so that |z| is about gamma (CEP: arXiv 2405.20494).

  Attributes:
    gamma: that norm.
  """

  gamma: float

  @nn.compact
  def __call__(self, e: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
    if not self.gamma or not self.has_rng("perturb"):
      return e
    noise = jax.random.normal(self.make_rng("perturb"), e.shape, jnp.float32)
    return e + (self.gamma / e.shape[-1] ** 0.5 * noise).astype(e.dtype)


class Concrete(nn.Module):
  """Logits of gates, which noise throws to one side or the other until they decide by themselves.

  The sigmoid of what comes out is a concrete variable of two outcomes, of temperature 2/3 (Maddison et al.,
  arXiv 1611.00712).
  """

  @nn.compact
  def __call__(self, logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    if not self.has_rng("perturb"):
      return logits
    return 1.5 * (logits + jax.random.logistic(self.make_rng("perturb"), logits.shape))
