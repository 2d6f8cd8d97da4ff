"""Tokens of captions are their UTF-8 bytes, so that any language works without a vocabulary file."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

PAD, START, _FIRST_BYTE = 0, 1, 2
VOCABULARY = _FIRST_BYTE + 256


def tokenize(captions: Sequence[str], length: int) -> Int[np.ndarray, "batch length"]:
  """Encodes captions as a start token and their UTF-8 bytes, padded with 0 to `length` tokens.

  Long captions are cut between two characters. The empty caption, which is the unconditional context, is the
  start token alone.
  """
  tokens = np.zeros((len(captions), length), np.int32)
  tokens[:, 0] = START
  for row, caption in zip(tokens, captions, strict=True):
    data = caption.encode()[: length - 1].decode(errors="ignore").encode()
    row[1 : 1 + len(data)] = np.frombuffer(data, np.uint8) + _FIRST_BYTE
  return tokens


def is_space(tokens: Int[Array, "*shape"]) -> Bool[Array, "*shape"]:
  """Which tokens are white space in ASCII."""
  return jnp.isin(tokens, np.frombuffer(b" \t\n\r\f\v", np.uint8).astype(np.int32) + _FIRST_BYTE)


def empty(tokens: Int[Array, "batch length"]) -> Bool[Array, "batch"]:
  """Which captions are empty."""
  return jnp.all(tokens[:, 1:] == PAD, -1)


def drop(tokens: Int[Array, "batch length"], keep: Bool[Array, "batch"]) -> Int[Array, "batch length"]:
  """The captions, replaced by the empty caption where `keep` is false."""
  start = jnp.arange(tokens.shape[1]) == 0
  return jnp.where(keep[:, None] | start, tokens, PAD)
