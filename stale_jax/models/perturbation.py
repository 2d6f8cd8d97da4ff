"""Random perturbations inside the network in training. Without a PRNG key, as in sampling, they are off."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


def drop_tokens(
  key: PRNGKeyArray | None, real: Bool[Array, "batch tokens"], rate: float
) -> Bool[Array, "batch tokens"]:
  """Drops a random share `rate` of the tokens as keys of attention.

  No token attends to a dropped token. A dropped token still attends to the others and is denoised from its
  own content, so its loss counts. (MaskDiT, arXiv 2306.09305, removes masked tokens from the network and from
  the denoising loss; here no token has to be predicted without its own content.) The attention weights of the
  remaining tokens sum to one, as with a missing sense.

  Returns:
    `real`, set to False for the dropped tokens.
  """
  if not rate or key is None:
    return real
  return real & ~jax.random.bernoulli(key, rate, real.shape)


def embedding_noise(
  key: PRNGKeyArray | None, e: Float[Array, "*batch width"], gamma: float
) -> Float[Array, "*batch width"]:
  """Returns e + z with z ~ N(0, gamma^2 / width), so that |z| is about gamma (CEP: arXiv 2405.20494)."""
  if not gamma or key is None:
    return e
  noise = jax.random.normal(key, e.shape, jnp.float32)
  return e + (gamma / e.shape[-1] ** 0.5 * noise).astype(e.dtype)


def concrete(key: PRNGKeyArray | None, logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Adds logistic noise to the logits of gates; the sigmoid of the result is a binary concrete variable.

  The temperature is 2/3 (Maddison et al., arXiv 1611.00712). Trained with this noise, a gate learns decisive
  logits. Without a key the logits are returned unchanged.
  """
  return logits if key is None else 1.5 * (logits + jax.random.logistic(key, logits.shape))
