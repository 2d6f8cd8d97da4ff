"""The clip that the tests of files and of pages are about, and its movie."""

from stale_jax.data import Digits
from stale_jax.movie import Movie

SOURCE = Digits(split="test")
SENSES = SOURCE.senses
# A quick one hits its second wall within the clip.
EXAMPLE = next(e for e in map(SOURCE.__getitem__, range(99)) if (e["clip"]["sound"][:, -1] > 0).sum() == 2)
CLIP = {name: x for name, x in EXAMPLE["clip"].items() if name != "balance"}


def movie(prompt="a red seven"):
  return Movie(CLIP, tuple(SENSES.values()), prompt, 5, {"model": "test", "steps": 3})
