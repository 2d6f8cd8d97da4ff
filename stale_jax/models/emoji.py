"""The emoji: a fixed token without parameters, from whose output state the labels of a clip are scored."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context


def emoji_vector(emoji: str, width: int) -> Float[np.ndarray, "width"]:
  """A fixed vector of standard normal numbers, seeded by the code point of `emoji`."""
  rng = np.random.Generator(np.random.Philox(key=ord(emoji)))
  return rng.standard_normal(width).astype(np.float32)


def scored(
  model, params, clip: Clip, t: Float[Array, "batch frames"], context: Context, rngs=None
) -> tuple[Clip, Float[Array, "batch labels"]]:
  """Applies the model and its head `heads.Scores`, which other calls skip.

  The scores of an example with a caption depend on this caption; `scores` leaves the captions out.

  Returns:
    (outputs of `model.apply`, scores of the labels).
  """
  output, sown = model.apply(params, clip, t, context, mutable=["scores"], rngs=rngs)
  return output, sown["scores"]["labels"][0]


def scores(
  model, params, clip: Clip, t: Float[Array, "batch frames"], context: Context
) -> Float[Array, "batch labels"]:
  """Scores the labels of clips without their captions, as in the examples on which the head was trained."""
  return scored(model, params, clip, t, context.drop_condition(jnp.ones(len(t), bool)))[1]
