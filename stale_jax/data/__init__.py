"""Sources of clips, and the loader that batches them."""

from stale_jax.data.build import build_senses, build_source
from stale_jax.data.collate import collate
from stale_jax.data.loader import Loader, first_stored, loader
from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.digits import Digits
from stale_jax.data.sources.folder import Folder
from stale_jax.data.sources.lorenz import Lorenz
from stale_jax.data.sources.noise import Noise
from stale_jax.data.sources.research_api import ResearchApi
from stale_jax.data.sources.shards import Shards
from stale_jax.data.sources.tfds import Tfds

__all__ = [
  "Cartoons",
  "Digits",
  "Folder",
  "Loader",
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
