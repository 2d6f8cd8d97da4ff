"""The config of a run as JSON, beside its checkpoints and within its weights, with the version of the format.

Format 1, whose files do not name it, leaves out keys that have their default; an empty section `dog`,
`self_forcing` or `grpo` is off. Format 2 has every key.
"""

import json
from collections.abc import Mapping
from typing import Any

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, write_whole

FORMAT = 2
_OFF_IF_EMPTY = ("dog", "self_forcing", "grpo")


def with_format(config: Mapping[str, Any]) -> dict[str, Any]:
  """What is written of `config`."""
  return {"format": FORMAT, **config}


def upgrade(written: Mapping[str, Any], where: Any) -> dict[str, Any]:
  """The config that was written in any format, as `build` takes it.

  Args:
    written: as JSON has it.
    where: names the file in messages.

  Raises:
    UserError: it is of a later format.
  """
  version = written.get("format", 1)
  if not isinstance(version, int) or version > FORMAT:
    raise UserError(
      f"{where} has config format {version}, and this stale_jax reads up to {FORMAT}: install a later one."
    )
  config = {key: value for key, value in written.items() if key != "format"}
  if version == 1:
    config = {key: value for key, value in config.items() if value or key not in _OFF_IF_EMPTY}
  return config


def read_config(path: AnyPath) -> dict[str, Any]:
  """A run's config; raises UserError if it cannot be read."""
  try:
    return upgrade(json.loads(path.read_text()), path)
  except (OSError, ValueError) as error:
    raise UserError(f"cannot read {path}: {error}") from error


def write_config(path: AnyPath, config: Mapping[str, Any]) -> None:
  """Writes a run's config in one piece."""
  write_whole(path, json.dumps(with_format(config), indent=2))
