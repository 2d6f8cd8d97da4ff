"""The section `source` named "latents": which source is encoded, and by which autoencoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from stale_jax.checkpoints.load import model_at
from stale_jax.construct import construct
from stale_jax.data import build_source
from stale_jax.data.codec import Codec
from stale_jax.data.source import Source
from stale_jax.data.sources.check import SPLITS
from stale_jax.data.sources.coded import CodedSource
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.models import build_autoencoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
  """The keys of the section; all but `autoencoder` are those of `CodedSource`.

  Attributes:
    source: the section of the source whose clips are encoded.
    autoencoder: a run's folder or a weights file.
    cache: folder of the encoded clips.
    size: number of clips that are encoded.
    split: "train" or "test".
    patch: height and width of a token, in latents.
  """

  source: Mapping[str, Any]
  autoencoder: str
  cache: str = CodedSource.cache
  size: int = number(CodedSource.size, least=1)
  split: str = choice(CodedSource.split, SPLITS)
  patch: int = number(CodedSource.patch, least=1)

  def __post_init__(self):
    check_fields(self, "source")


def build_latents(section: Mapping[str, Any]) -> CodedSource:
  """Loads the autoencoder and builds the source; neither examples nor the cache are read.

  Raises:
    UserError: an unknown key, no autoencoder at `section.autoencoder`, or one that does not fit the source.
  """
  latents = construct(Latents, section, "source")
  source = build_source({**latents.source, "split": latents.split})
  return CodedSource(
    source=source,
    codec=load_codec(latents.autoencoder, source),
    cache=latents.cache,
    size=latents.size,
    split=latents.split,
    patch=latents.patch,
  )


def load_codec(path: str, source: Source) -> Codec:
  """The autoencoder in `path`, for the clips of `source`; raises UserError like `build_latents`."""
  params, config = model_at(path)
  if config.get("model", {}).get("name") != "autoencoder":
    raise UserError(f"source.autoencoder={path} is a model of another kind.")
  network = build_autoencoder(config["model"], tuple(source.senses.values()), source.frames, False)
  kept = {name: values for name, values in params["params"].items() if name != "patches"}  # No adversary.
  return Codec(network=network, params={"params": kept})
