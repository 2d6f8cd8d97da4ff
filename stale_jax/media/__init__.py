"""Writes movies as files (video, sensory effects, exact arrays), and pages and plots of results."""

from stale_jax.media.arrays import read_arrays, write_arrays
from stale_jax.media.curves import curves
from stale_jax.media.data_card import write_data_card
from stale_jax.media.folder import save_movie
from stale_jax.media.gates import gates
from stale_jax.media.heat_maps import heat_maps
from stale_jax.media.page import movie_html, write_page
from stale_jax.media.picture import contact_sheet, png, read_picture
from stale_jax.media.plan_page import write_plan
from stale_jax.media.posteriors import posteriors
from stale_jax.media.sem import write_sem
from stale_jax.media.sound import synthesise
from stale_jax.media.story_page import write_story
from stale_jax.media.video import CODECS, write_video

__all__ = [
  "CODECS",
  "contact_sheet",
  "curves",
  "gates",
  "heat_maps",
  "movie_html",
  "png",
  "posteriors",
  "read_arrays",
  "read_picture",
  "save_movie",
  "synthesise",
  "write_arrays",
  "write_data_card",
  "write_page",
  "write_plan",
  "write_sem",
  "write_story",
  "write_video",
]
