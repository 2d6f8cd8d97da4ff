"""The settings of a run that cannot change when it is resumed.

A setting is fixed if it decides what the weights mean, that is, what the model can do and how it must be
sampled: the data, the network, the noising process, and the times and conditioning frames that training
draws. Fixed, too, is what decides which arrays a checkpoint holds: the optimizer, the averages of
`ema.tracks`, and the kind of training.

All other settings may change. Some affect how well the model is trained: the number of steps, learning rate,
batch size and seed, the weights of objectives and sources, corruption, and dropout of conditions. Others only
decide where or how something is computed (the mesh, `model.attention`, `model.remat`) or where files are kept
(`source.cache`), or are defaults of sampling. Takedowns must be obeyed at any time.
"""

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stale_jax.checkpoints.config_file import read_config
from stale_jax.config.resolve import resolve
from stale_jax.config.text import change_of, flat
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, is_address
from stale_jax.training.ema import Ema
from stale_jax.training.steps.registry import STEPS

# Section -> its keys that may change nevertheless, also in nested sections.
_FIXED = {
  "senses": (),
  "source": ("takedown", "weights", "cache"),
  "process": (),
  "times": (),
  "model": ("attention", "dtype", "remat", "scan"),
  "cringe": ("weight",),
  "first": (),
  "artv": ("copy",),
  "adapter": (),
}
# Keys of a source whose values are paths, which may name the same place in several ways.
_PLACES = ("path", "lines", "autoencoder")


def check_config(config: Mapping[str, Any], workdir: AnyPath) -> None:
  """Checks that `config` can resume the run in `workdir`, if there is one.

  Args:
    config: a resolved config. With `training.new_data`, the paths of its source may differ from those of
      the run.
    workdir: the run's folder.

  Raises:
    UserError: `config` changes a setting that is fixed, or the config of the run is damaged.
  """
  path = workdir / "config.json"
  if not path.exists():
    return
  before = read_config(path)
  try:
    before = resolve(before)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  saved, current = _fixed_settings(before), _fixed_settings(config)
  keys = [*saved, *(key for key in current if key not in saved)]
  differing = [key for key in keys if not _same(key, saved.get(key), current.get(key))]
  if config["training"]["new_data"]:
    differing = [key for key in differing if not _is_place(key)]
  if not differing:
    return
  advice = "choose another --workdir"
  if all(map(_is_place, differing)):
    advice = f"if the data have moved, add --config.training.new_data=True; else {advice}"
  found = change_of(saved, current, differing)
  raise UserError(f"{workdir} holds a run with other settings, which cannot change: {found}; {advice}.")


def _fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
  """Dotted key -> value of the fixed settings of a resolved config."""
  sections = {name: _without(config.get(name), *free) for name, free in _FIXED.items()}
  kinds = [name for name in STEPS if config.get(name) is not None]
  return {
    **dict(flat(sections)),
    "kind of training": kinds[0] if kinds else "ordinary",
    "optimizer.name": config["optimizer"]["name"],
    "ema.tracks": construct(Ema, config["ema"], "ema").kept,
  }


def _without(section: Any, *keys: str) -> Any:
  """A section, and the sections nested in it, without the keys `keys`."""
  if not isinstance(section, Mapping):
    return section
  return {key: _without(value, *keys) for key, value in section.items() if key not in keys}


def _is_place(key: str) -> bool:
  return key.startswith("source.") and key.split(".")[-1] in _PLACES


def _same(key: str, before: Any, after: Any) -> bool:
  if before == after or not _is_place(key) or None in (before, after):
    return before == after
  return _place(before) == _place(after)


def _place(path: str) -> str:
  """A path or address in the form in which equal places have equal texts."""
  if is_address(path):
    scheme, _, within = path.partition("://")
    return f"{scheme}://{posixpath.normpath(within)}"
  return os.fspath(Path(path).resolve())
