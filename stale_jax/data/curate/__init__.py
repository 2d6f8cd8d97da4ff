"""Curation: turns a folder of videos into shards of clips.

Videos are examined, clips are filtered, deduplicated, encoded and written to shards. The entry point is
`run.curate`. It is not imported here, because it imports Apache Beam, which not every process needs.
"""

from stale_jax.data.curate.settings import Settings

__all__ = ["Settings"]
