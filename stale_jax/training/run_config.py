"""The config that a run's folder holds, and what a resumed run may change of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stale_jax.checkpoints.load import read_config
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.files import write_whole
from stale_jax.hosts import leads
from stale_jax.training.ema import Ema


def keep_config(config: Mapping[str, Any], workdir: Path) -> None:
  """Writes `config` to the folder's config.json.

  Raises:
    UserError: the folder holds a run whose weights mean something else.
  """
  path = workdir / "config.json"
  plain = json.loads(json.dumps(config))
  if path.exists():
    before, now = _meaning(read_config(path)), _meaning(plain)
    for name, value in before.items():
      if value != now[name]:
        raise UserError(f"{workdir} holds a run with another {name} ({value}); choose another --workdir.")
  if leads():
    write_whole(path, json.dumps(plain, indent=2))


def _meaning(config: Mapping[str, Any]) -> dict[str, Any]:
  """What must stay the same while a run goes on. Takedowns may change: they must be obeyed at any time."""
  sections = {section: config.get(section) for section in ("senses", "process", "model", "cringe")}
  return {
    **sections,
    "source": _without_takedown(config.get("source")),
    "ema.tracks": construct(Ema, config.get("ema", {}), "ema").kept,
    "optimizer.name": config.get("optimizer", {}).get("name", "adamw"),
  }


def _without_takedown(section: Any) -> Any:
  """The section of a source, which may hold another source's, without its `takedown`."""
  if not isinstance(section, Mapping):
    return section
  return {key: _without_takedown(value) for key, value in section.items() if key != "takedown"}
