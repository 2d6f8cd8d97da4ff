"""The config in a run's folder, and which parts of it a resumed run may change."""

from collections.abc import Mapping
from typing import Any

from stale_jax.checkpoints.config_file import read_config, write_config
from stale_jax.config.resolve import resolve
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.files import AnyPath
from stale_jax.hosts import leads
from stale_jax.training.ema import Ema


def check_config(config: Mapping[str, Any], workdir: AnyPath) -> None:
  """Raises UserError if `workdir` holds a run with other settings that cannot change, such as the model."""
  path = workdir / "config.json"
  if path.exists():
    saved, current = _fixed_settings(resolve(read_config(path))), _fixed_settings(resolve(config))
    for name, value in saved.items():
      if value != current[name]:
        raise UserError(f"{workdir} holds a run with another {name} ({value}); choose another --workdir.")


def keep_config(config: Mapping[str, Any], workdir: AnyPath) -> None:
  """Writes `config` to config.json in `workdir`; raises UserError like `check_config`."""
  check_config(config, workdir)
  if leads():
    write_config(workdir / "config.json", config)


def _fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
  """The settings of a resolved config that a resumed run cannot change.

  The takedowns of a source, which must be obeyed at any time, are not among them, nor are the weights of a
  mixture.
  """
  sections = {name: config.get(name) for name in ("senses", "process", "model", "cringe")}
  return {
    **sections,
    "source": _without(config["source"], "takedown", "weights"),
    "ema.tracks": construct(Ema, config["ema"], "ema").kept,
    "optimizer.name": config["optimizer"]["name"],
  }


def _without(section: Any, *keys: str) -> Any:
  """The config of a source, and of any sources nested in it, without the keys `keys`."""
  if not isinstance(section, Mapping):
    return section
  return {key: _without(value, *keys) for key, value in section.items() if key not in keys}
