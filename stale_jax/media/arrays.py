"""The exact arrays of a movie (.npz), and a JSON file that describes them."""

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

# Errors of json, numpy, zipfile and Sense for files that are truncated or of another kind.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)


def write_arrays(
  stem: AnyPath, clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], info: Mapping[str, Any]
) -> None:
  """Writes `stem`.npz (the arrays, unchanged) and `stem`.json (`info`, and a description of each sense)."""
  with stem.with_name(stem.name + ".npz").open("wb") as file:
    np.savez_compressed(file, **clip)
  described = {name: dataclasses.asdict(senses[name]) for name in clip}
  text = json.dumps({**info, "senses": described}, indent=2, ensure_ascii=False)
  stem.with_name(stem.name + ".json").write_text(text + "\n", encoding="utf-8")


def read_arrays(stem: AnyPath) -> tuple[dict[str, np.ndarray], dict[str, Sense], dict[str, Any]]:
  """Reads (clip, senses, info) as `write_arrays` wrote them, bit for bit.

  Raises:
    UserError: one of the two files is missing or damaged.
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
    raise UserError(f"cannot read the arrays of a movie at {stem}: {error}") from error
  return clip, senses, info
