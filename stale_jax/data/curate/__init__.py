"""From a folder of videos to shards of clips: examined, judged, compared, encoded, written."""

from stale_jax.data.curate.run import curate, read_salt
from stale_jax.data.curate.settings import Settings

__all__ = ["Settings", "curate", "read_salt"]
