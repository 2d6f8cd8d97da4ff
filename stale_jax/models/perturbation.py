"""What training perturbs inside the network; without a key, as in sampling, nothing is perturbed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


def drop_tokens(
  key: PRNGKeyArray | None, real: Bool[Array, "batch tokens"], rate: float
) -> Bool[Array, "batch tokens"]:
  """`real` without that share of tokens: they are masked out of attention, and out of nothing else.

  No token attends to a dropped one; it attends to the others and is denoised from its own
  content as ever, so its loss counts. (MaskDiT, arXiv 2306.09305, takes masked tokens out of
  the network altogether and hence out of its denoising loss; here nothing is asked of a token
  that it cannot know.) As with a missing sense the weights of the rest still add up to one.
  """
  if not rate or key is None:
    return real
  return real & ~jax.random.bernoulli(key, rate, real.shape)


def embedding_noise(
  key: PRNGKeyArray | None, e: Float[Array, "*batch width"], gamma: float
) -> Float[Array, "*batch width"]:
  """e + z with z ~ N(0, gamma^2 / width), so that |z| is about gamma (CEP: arXiv 2405.20494)."""
  if not gamma or key is None:
    return e
  noise = jax.random.normal(key, e.shape, jnp.float32)
  return e + (gamma / e.shape[-1] ** 0.5 * noise).astype(e.dtype)


def concrete(key: PRNGKeyArray | None, logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Logits of gates, which noise throws to one side or the other until they decide by themselves.

  The sigmoid of the result is a concrete variable of two outcomes, of temperature 2/3 (Maddison et al.,
  arXiv 1611.00712).
  """
  return logits if key is None else 1.5 * (logits + jax.random.logistic(key, logits.shape))
