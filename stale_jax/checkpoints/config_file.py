"""The config of a run as JSON, stored in the run's folder and in weights files, with a format version.

Format 1, whose files have no version, omits keys with default values; an empty section `dog`, `self_forcing`
or `grpo` means that it is disabled. Format 2 has every key.
"""

import json
from collections.abc import Mapping
from typing import Any

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, read_object, write_whole

FORMAT = 2
_OFF_IF_EMPTY = ("dog", "self_forcing", "grpo")


def with_format(config: Mapping[str, Any]) -> dict[str, Any]:
  """`config` with the format version, as it is written to a file."""
  return {"format": FORMAT, **config}


def upgrade(written: Mapping[str, Any], where: Any) -> dict[str, Any]:
  """Converts a config of any format to the current one, without the format version.

  Args:
    written: the content of the JSON file.
    where: the file's name for error messages.

  Raises:
    UserError: the format is unknown, for example later than `FORMAT`.
  """
  version = written.get("format", 1)
  if version not in range(1, FORMAT + 1):
    raise UserError(
      f"{where} has config format {version}, but this stale_jax reads only up to {FORMAT}; upgrade stale_jax."
    )
  config = {key: value for key, value in written.items() if key != "format"}
  if version == 1:
    config = {key: value for key, value in config.items() if value or key not in _OFF_IF_EMPTY}
  return config


def read_config(path: AnyPath) -> dict[str, Any]:
  """Reads the config of a run; raises UserError if that fails."""
  return upgrade(read_object(path, "restore it, or choose another folder"), path)


def write_config(path: AnyPath, config: Mapping[str, Any]) -> None:
  """Writes the config of a run atomically."""
  write_whole(path, json.dumps(with_format(config), indent=2))
