"""Sources of clips, and the loader that batches them."""

from stale_jax.data.build import build_senses, build_source
from stale_jax.data.digits import Digits
from stale_jax.data.loader import collate, loader
from stale_jax.data.lorenz import Lorenz
from stale_jax.data.noise import Noise

__all__ = ["Digits", "Lorenz", "Noise", "build_senses", "build_source", "collate", "loader"]
