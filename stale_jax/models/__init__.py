"""Networks: the video transformer, the video autoencoder and the motion predictor, and their builders."""

from stale_jax.models.autoencoder import Autoencoder, decode_next
from stale_jax.models.build import build_autoencoder, build_model
from stale_jax.models.emoji import scored, scores
from stale_jax.models.motion_predictor import MotionPredictor
from stale_jax.models.transformer import Transformer

__all__ = [
  "Autoencoder",
  "MotionPredictor",
  "Transformer",
  "build_autoencoder",
  "build_model",
  "decode_next",
  "scored",
  "scores",
]
