"""The exact arrays of a movie, and a JSON file that says what they are."""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.files import AnyPath

# What json, numpy, zipfile and a Sense say of files that are cut off or not ours.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)


def write_arrays(
  stem: AnyPath, clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], info: Mapping[str, Any]
) -> None:
  """Writes `stem`.npz (every sense as it is) and `stem`.json (`info`, and each sense's description)."""
  with stem.with_name(stem.name + ".npz").open("wb") as file:
    np.savez_compressed(file, **clip)
  described = {name: dataclasses.asdict(senses[name]) for name in clip}
  text = json.dumps({**info, "senses": described}, indent=2, ensure_ascii=False)
  stem.with_name(stem.name + ".json").write_text(text + "\n", encoding="utf-8")


def read_arrays(stem: AnyPath) -> tuple[dict[str, np.ndarray], dict[str, Sense], dict[str, Any]]:
  """(clip, senses, info): what `write_arrays` was given, bit for bit.

  Raises:
    UserError: one of the two files is missing or broken.
  """
  stem = Path(stem)
  try:
    info = json.loads(stem.with_name(stem.name + ".json").read_text(encoding="utf-8"))
    with np.load(stem.with_name(stem.name + ".npz")) as file:
      clip = dict(file)
    senses = {
      name: Sense(**{k: tuple(v) if isinstance(v, list) else v for k, v in sense.items()})
      for name, sense in info.pop("senses").items()
    }
  except (*_BROKEN, OSError) as error:
    raise UserError(f"no movie's arrays at {stem}: {error}") from error
  return clip, senses, info
