"""Linen modules: the video transformer and its text encoder, and the video autoencoder."""

from stale_jax.models.autoencoder import Autoencoder, decode_next
from stale_jax.models.build import build_autoencoder, build_model
from stale_jax.models.emoji import scored, scores
from stale_jax.models.transformer import Transformer

__all__ = [
  "Autoencoder",
  "Transformer",
  "build_autoencoder",
  "build_model",
  "decode_next",
  "scored",
  "scores",
]
