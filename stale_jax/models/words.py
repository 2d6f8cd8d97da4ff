"""A second text encoder for captions: hashed words, beside the bytes of `models.text`.

Stable Diffusion 3 (arXiv 2403.03206, sec. 4) reads a caption with encoders of different kinds, whose tokens
are concatenated, and drops each of them independently in training, so that the model also works without one.
Here one encoder reads the spelling (`models.text`), and this one whole words. Both are trained along.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from stale_jax.models.layers import linear, linear_parameters
from stale_jax.models.parameters import Parameter
from stale_jax.text import PAD, START, is_space

_EMBEDDING = jax.nn.initializers.normal(1.0)
_POSITION = jax.nn.initializers.normal(0.02)
_FACTOR, _MIX = 0x01000193, 0x9E3779B1  # Odd, so that multiplication by them is a bijection of 32-bit words.


def word_parameters(width: int, words: int, buckets: int):
  """Declares the parameters of `encode_words`.

  Args:
    width: width of a text token.
    words: number of words of a caption that are read.
    buckets: number of different embeddings.
  """
  return {
    "embedding": Parameter(shape=(buckets, width), init=_EMBEDDING),
    "position": Parameter(shape=(words, width), init=_POSITION),
    "out": linear_parameters(width, width),
  }


def encode_words(
  params, tokens: Int[Array, "batch length"], dtype
) -> tuple[Float[Array, "batch words width"], Bool[Array, "batch words"]]:
  """Encodes captions by their words: an embedding per word and per position in the caption.

  Words that share a bucket share an embedding; words beyond the last position are not read.

  Args:
    params: the parameters that `word_parameters` declares.
    tokens: bytes of the captions (`text.tokenize`), PAD where there are none.
    dtype: dtype of the computation.

  Returns:
    (text tokens, whether each token is a word).
  """
  buckets, words = params["embedding"].shape[0], params["position"].shape[0]
  hashes, real = hash_words(tokens, words)
  x = jnp.take(params["embedding"].astype(dtype), (hashes % buckets).astype(jnp.int32), 0)
  x = linear(params["out"], x + params["position"].astype(dtype), dtype)
  return x * real[..., None], real


def hash_words(
  tokens: Int[Array, "batch length"], words: int
) -> tuple[UInt32[Array, "batch {words}"], Bool[Array, "batch {words}"]]:
  """32-bit hashes of the first words of captions, and which of them exist.

  A word is a run of bytes that are not white space. Its hash is a polynomial in its bytes, modulo 2^32, which
  does not depend on where the word stands.
  """
  length = tokens.shape[1]
  inside = (tokens != PAD) & (tokens != START) & ~is_space(tokens)
  starts = inside & ~jnp.pad(inside, ((0, 0), (1, 0)))[:, :-1]
  number = jnp.cumsum(starts, 1) - 1
  positions = jnp.arange(length)
  start = jax.lax.cummax(jnp.where(starts, positions, 0), axis=1)
  powers = np.cumprod(np.full(length, _FACTOR, np.uint32), dtype=np.uint32)
  terms = jnp.where(inside, tokens.astype(jnp.uint32) * jnp.asarray(powers)[positions - start], 0)
  # Words beyond the last are summed up in one more column, which is left out.
  column = jnp.where(inside, jnp.clip(number, 0, words), words)
  rows = jnp.arange(len(tokens))[:, None]
  sums = jnp.zeros((len(tokens), words + 1), jnp.uint32).at[rows, column].add(terms)[:, :words]
  mixed = (sums ^ (sums >> 15)) * jnp.uint32(_MIX)
  return mixed ^ (mixed >> 16), jnp.arange(words) <= number[:, -1:]
