"""The config that a run's folder holds, and what a resumed run may change of it."""

from collections.abc import Mapping
from typing import Any

from stale_jax.checkpoints.config_file import read_config, write_config
from stale_jax.config.resolve import resolve
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.files import AnyPath
from stale_jax.hosts import leads
from stale_jax.training.ema import Ema


def keep_config(config: Mapping[str, Any], workdir: AnyPath) -> None:
  """Writes `config` to the folder's config.json.

  Raises:
    UserError: the folder holds a run whose weights mean something else.
  """
  path = workdir / "config.json"
  if path.exists():
    before, now = _meaning(resolve(read_config(path))), _meaning(resolve(config))
    for name, value in before.items():
      if value != now[name]:
        raise UserError(f"{workdir} holds a run with another {name} ({value}); choose another --workdir.")
  if leads():
    write_config(path, config)


def _meaning(config: Mapping[str, Any]) -> dict[str, Any]:
  """What must stay the same of a resolved config while a run goes on.

  Takedowns may change: they must be obeyed at any time.
  """
  sections = {name: config.get(name) for name in ("senses", "process", "model", "cringe")}
  return {
    **sections,
    "source": _without_takedown(config["source"]),
    "ema.tracks": construct(Ema, config["ema"], "ema").kept,
    "optimizer.name": config["optimizer"]["name"],
  }


def _without_takedown(section: Any) -> Any:
  """The section of a source, which may hold another source's, without its `takedown`."""
  if not isinstance(section, Mapping):
    return section
  return {key: _without_takedown(value) for key, value in section.items() if key != "takedown"}
