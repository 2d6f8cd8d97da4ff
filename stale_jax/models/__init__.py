"""Linen modules: the video transformer and its text encoder."""

from stale_jax.models.build import build_model
from stale_jax.models.emoji import scored, scores
from stale_jax.models.transformer import Transformer

__all__ = ["Transformer", "build_model", "scored", "scores"]
