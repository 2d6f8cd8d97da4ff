"""Activations of a denoiser: the tokens of each sense after every block, for probes of what it has learnt.

The features of *Denoising Diffusion Autoencoders* (arXiv 2303.09769) and of *Diffusion Models Beat GANs on
Image Classification* (arXiv 2307.08702): a clip is noised to a time t, and the activations after a block of
the frozen denoiser are read. In a transformer this is the residual stream.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.errors import UserError
from stale_jax.models.transformer import Transformer


def features(
  model: Transformer, params, clip: Clip, t: Float[Array, "batch frames"], context: Context
) -> dict[str, Float[Array, "blocks batch time place width"]]:
  """Applies the model and returns the residual stream after each block that it applies.

  With a caption in the context, or with other senses that the tokens see, the features contain what these
  say. Use `Context.drop_condition` for features of the sense alone.

  Args:
    model: the denoiser. If its blocks run several times (`cycle`), each turn adds its blocks.
    params: its parameters.
    clip: noised clip, sense -> [batch, frames, *shape].
    t: diffusion time of each frame.
    context: see `clip.Context`.

  Returns:
    sense -> tokens. The axes time and place are those of `Sense.grid`.

  Raises:
    UserError: the model merges tokens, so that its blocks have different tokens.
  """
  if model.merge:
    raise UserError("the blocks of a model with model.merge have different tokens: it has no features.")
  _, sown = model.apply(params, clip, t, context, mutable=["features"])
  blocks = [sown["features"][f"block_{i}"] for i in range(model.depth) if i not in model.skip]

  def joined(*streams: Array) -> Array:
    shape = streams[0].shape[-4:]
    # A cycle of several turns adds a leading axis.
    turns = [jnp.reshape(x, (-1, *shape)) for x in streams]
    return jnp.reshape(jnp.stack(turns, 1), (-1, *shape))

  return {name: joined(*(block[name][0] for block in blocks)) for name in clip}
