"""The relational network of ContextDiff: what a caption says about a clip, in the shape of the clip.

Every token of the clip attends to the tokens of the caption (cross-attention), and a linear layer maps the
result to the values of the token's patch (Yang et al., arXiv 2402.16627). The paper takes features of CLIP.
Here the caption's are those of the denoiser's own text encoder, and the clip's a linear layer of its patches.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, EncodedText, Sense
from stale_jax.models.layers import linear, linear_parameters, norm
from stale_jax.models.parameters import ZEROS, Parameter
from stale_jax.models.patches import patchify, positions, unpatchify


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelationNetwork:
  """(parameters, clip, caption) -> h in [-1, 1], in the shape of the clip; see `processes.contextual`.

  The output layer is 0 at first, so that h is 0 and the process has no bias.

  Attributes:
    senses: senses that get a bias.
    text_width: width of the encoded captions.
    width: width of the features and of the attention.
    heads: number of heads.
  """

  senses: tuple[Sense, ...]
  text_width: int
  width: int = 64
  heads: int = 4

  @property
  def declared(self) -> Any:
    """The declarations of the parameters."""
    layers: dict[str, Any] = {
      "text": linear_parameters(self.text_width, 2 * self.width),
      "mix": linear_parameters(self.width, self.width),
    }
    for sense in self.senses:
      values = sense.shape[-1] * math.prod(sense.patch)
      layers[f"{sense.name}_in"] = linear_parameters(values + 3, self.width)
      layers[f"{sense.name}_out"] = linear_parameters(2 * self.width, values, init=ZEROS)
    return {
      name: {"dense": {part: _at(p, f"relation/{name}/dense/{part}") for part, p in layer["dense"].items()}}
      for name, layer in layers.items()
    }

  def __call__(self, params: Any, clip: Clip, text: EncodedText) -> Clip:
    """Returns h for every sense of `clip`.

    Args:
      params: parameters in the structure of `declared`.
      clip: a clean clip, or an estimate of one.
      text: encoded captions.
    """
    return {sense.name: self._one(params, clip[sense.name], sense, text) for sense in self.senses}

  def _one(
    self, params: Any, x: Float[Array, "batch frames *shape"], sense: Sense, text: EncodedText
  ) -> Array:
    patches = patchify(x, sense)
    batch, time, places, _ = patches.shape
    where = jnp.asarray(positions(sense, x.shape[1])).reshape(time, places, 3) / jnp.float32(8)
    where = jnp.broadcast_to(where, (batch, time, places, 3))
    features = linear(params[f"{sense.name}_in"], jnp.concatenate([patches, where], -1), jnp.float32)
    query = jnp.reshape(norm(features), (batch, time * places, self.heads, -1))
    key, value = jnp.split(linear(params["text"], text.tokens, jnp.float32), 2, -1)
    key, value = (jnp.reshape(part, (batch, part.shape[1], self.heads, -1)) for part in (norm(key), value))
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) / jnp.sqrt(query.shape[-1])
    weights = jax.nn.softmax(jnp.where(text.real[:, None, None], logits, -1e9), -1)
    told = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(batch, time, places, self.width)
    both = features * jax.nn.silu(linear(params["mix"], told, jnp.float32))
    out = linear(params[f"{sense.name}_out"], jnp.concatenate([both, told], -1), jnp.float32)
    return jnp.tanh(unpatchify(out, sense))


def _at(parameter: Parameter, path: str) -> Parameter:
  return dataclasses.replace(parameter, paths=(path,))
