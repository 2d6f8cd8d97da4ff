"""The emoji: one token that is never learnt, from whose output state a clip's labels are scored."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context


def emoji_vector(emoji: str, width: int) -> Float[np.ndarray, "width"]:
  """Standard normal draws keyed by the code point of `emoji`: the same for ever, and no parameter."""
  rng = np.random.Generator(np.random.Philox(key=ord(emoji)))
  return rng.standard_normal(width).astype(np.float32)


def scored(
  model, params, clip: Clip, t: Float[Array, "batch frames"], context: Context, rngs=None
) -> tuple[Clip, Float[Array, "batch labels"]]:
  """What `model.apply` answers, and the scores, which are computed for nobody else.

  The scores of an example that has a caption are read off states that know it; `scores` are not.
  """
  output, sown = model.apply(params, clip, t, context, mutable=["scores"], rngs=rngs)
  return output, sown["scores"]["labels"][0]


def scores(
  model, params, clip: Clip, t: Float[Array, "batch frames"], context: Context
) -> Float[Array, "batch labels"]:
  """Scores of the clip alone: every caption is withheld, as it was from what the head learnt from."""
  return scored(model, params, clip, t, context.drop_condition(jnp.ones(len(t), bool)))[1]
