"""From a folder of videos to shards of clips: examined, judged, compared, encoded, written.

`run.curate` does it all; it is not named here, for with it comes Apache Beam, which not every process needs.
"""

from stale_jax.data.curate.settings import Settings

__all__ = ["Settings"]
