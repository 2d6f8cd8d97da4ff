"""Builds a source and its senses from config sections."""

from collections.abc import Sequence

from stale_jax.clip import Sense
from stale_jax.construct import choose, nearest
from stale_jax.data.source import Source
from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.digits import Digits
from stale_jax.data.sources.filmed import Filmed
from stale_jax.data.sources.folder import Folder
from stale_jax.data.sources.lorenz import Lorenz
from stale_jax.data.sources.noise import Noise
from stale_jax.data.sources.orbits import Orbits
from stale_jax.data.sources.research_api import ResearchApi
from stale_jax.data.sources.shards import Shards
from stale_jax.data.sources.tfds import Tfds
from stale_jax.errors import UserError

SOURCES = {
  "cartoons": Cartoons,
  "digits": Digits,
  "filmed": Filmed,
  "folder": Folder,
  "lorenz": Lorenz,
  "noise": Noise,
  "orbits": Orbits,
  "research_api": ResearchApi,
  "shards": Shards,
  "tfds": Tfds,
}


def build_source(section) -> Source:
  """Builds the source that `section.name`, a key of SOURCES, selects; the other keys are its fields.

  Raises:
    UserError: an unknown name or key, or a value that the source rejects.
  """
  return choose(SOURCES, section, "source")


def build_senses(names: Sequence[str], source: Source) -> tuple[Sense, ...]:
  """Selects the senses of `source` with the given names, in the order of `names`.

  Raises:
    UserError: the source has no sense with one of the names, a name occurs twice, or there are none.
  """
  for name in names:
    if name not in source.senses:
      raise UserError(f"the source has no sense {name!r}: {nearest(name, source.senses)}")
  if not names or len(set(names)) < len(names):
    raise UserError(
      f"senses={tuple(names)}: name at least one sense, and each once; valid: {', '.join(source.senses)}."
    )
  return tuple(source.senses[name] for name in names)
