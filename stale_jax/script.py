"""Scripts: prompts that change while a movie goes on."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp
import yaml
from jaxtyping import Array, Int

from stale_jax.errors import UserError
from stale_jax.text import tokenize

LONGEST = 365 * 86400.0  # Seconds of a movie.

# (first frame, prompt) of each part, in order; the first part begins at frame 0.
FrameScript = Sequence[tuple[int, str]]


@dataclasses.dataclass(frozen=True)
class Script:
  """Prompts in turn.

  Attributes:
    parts: (second from which on it holds, prompt), rising from 0.

  Raises:
    UserError: there are no parts, or their seconds do not rise from 0, to a year at most.
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

  def frames(self, rate: float, given: int = 0) -> FrameScript:
    """The script at `rate` frames per second, counted after the first `given` frames."""
    starts = ((math.ceil(time * rate - 1e-9), prompt) for time, prompt in self.parts)
    return tuple((max(start - given, 0), prompt) for start, prompt in starts)


def prompt_at(script: str | FrameScript, frame: int) -> str:
  """The prompt that holds at that frame."""
  if isinstance(script, str):
    return script
  return next(prompt for start, prompt in reversed(script) if start <= frame)


def turns(script: str | FrameScript) -> tuple[int, ...]:
  """The frames at which the prompt changes."""
  starts = () if isinstance(script, str) else sorted({start for start, _ in script if start > 0})
  return tuple(start for start in starts if prompt_at(script, start) != prompt_at(script, start - 1))


def captions(
  scripts: Sequence[str | FrameScript], length: int
) -> Callable[[int], Int[Array, "batch length"]]:
  """frame -> tokens of the prompts that hold there; the same array for the same prompts."""
  tokens = functools.cache(lambda prompts: jnp.asarray(tokenize(prompts, length)))
  return lambda frame: tokens(tuple(prompt_at(script, frame) for script in scripts))


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
