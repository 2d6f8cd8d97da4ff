"""Sources of clips, and the loader that batches them."""

from stale_jax.data.build import build_senses, build_source
from stale_jax.data.digits import Digits
from stale_jax.data.folder import Folder
from stale_jax.data.loader import collate, first_stored, loader
from stale_jax.data.lorenz import Lorenz
from stale_jax.data.noise import Noise
from stale_jax.data.research_api import ResearchApi
from stale_jax.data.shards import Shards
from stale_jax.data.tfds import Tfds

__all__ = [
  "Digits",
  "Folder",
  "Lorenz",
  "Noise",
  "ResearchApi",
  "Shards",
  "Tfds",
  "build_senses",
  "build_source",
  "collate",
  "first_stored",
  "loader",
]
