"""A script: what is asked for, and from when on, in a movie that changes its mind."""

import dataclasses
import math
from pathlib import Path

import yaml

from stale_jax.errors import UserError

LONGEST = 365 * 86400.0  # Seconds of a movie.


@dataclasses.dataclass(frozen=True)
class Script:
  """Prompts in turn.

  Attributes:
    parts: (from which second on, prompt), rising from 0.

  Raises:
    UserError: there are none, or they do not rise from 0, to a year at most.
  """

  parts: tuple[tuple[float, str], ...]

  def __post_init__(self):
    times = [time for time, _ in self.parts]
    if not times or times[0] != 0:
      raise UserError("a script says what is asked for from second 0 on.")
    if any(not b > a for a, b in zip(times, times[1:], strict=False)) or not times[-1] <= LONGEST:
      raise UserError(
        f"the seconds of a script must rise, to a year at most; got {', '.join(map(str, times))}."
      )

  def __str__(self) -> str:
    (_, first), *rest = self.parts
    return "; ".join([first, *(f"from {time:g} s {prompt}" for time, prompt in rest)])

  def frames(self, rate: float) -> tuple[tuple[int, str], ...]:
    """(From which frame on, prompt) at `rate` frames a second."""
    return tuple((math.ceil(time * rate - 1e-9), prompt) for time, prompt in self.parts)


def read_script(path: str | Path) -> Script:
  """A YAML file that is a list of {at: SECONDS, prompt: TEXT}.

  Raises:
    UserError: it cannot be read, or is something else.
  """
  try:
    parts = yaml.safe_load(Path(path).read_text())
  except (OSError, ValueError, yaml.YAMLError) as error:
    raise UserError(f"cannot read the script {path}: {error}") from error
  if not isinstance(parts, list) or not all(_is_part(part) for part in parts):
    raise UserError(f"{path} is no script: it must be a list of {{at: SECONDS, prompt: TEXT}}.")
  try:
    return Script(tuple((float(part["at"]), part["prompt"]) for part in parts))
  except OverflowError as error:
    raise UserError(f"{path}: the seconds of a script must rise, to a year at most.") from error


def _is_part(part) -> bool:
  return (
    isinstance(part, dict)
    and set(part) == {"at", "prompt"}
    and type(part["at"]) in (int, float)
    and isinstance(part["prompt"], str)
  )
