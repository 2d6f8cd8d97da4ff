"""Scripts: prompts that change in the course of a movie."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp
import yaml
from jaxtyping import Array, Int

from stale_jax.errors import UserError
from stale_jax.files import decode_text, one_line
from stale_jax.text import tokenize

LONGEST = 365 * 86400.0  # Greatest length of a movie, in seconds.

# (first frame, prompt) of each part, in order; the first part begins at frame 0.
FrameScript = Sequence[tuple[int, str]]


@dataclasses.dataclass(frozen=True)
class Script:
  """Prompts, each with the time at which it begins.

  Attributes:
    parts: (start in seconds, prompt). The first part starts at 0, and the starts increase.

  Raises:
    UserError: there are no parts, or the starts do not increase from 0 to at most a year.
  """

  parts: tuple[tuple[float, str], ...]

  def __post_init__(self):
    times = [time for time, _ in self.parts]
    if not times or times[0] != 0:
      raise UserError("the first prompt of a script must start at second 0.")
    if any(not b > a for a, b in zip(times, times[1:], strict=False)) or not times[-1] <= LONGEST:
      raise UserError(
        f"the starts of a script must increase, to at most a year; got {', '.join(map(str, times))}."
      )

  def __str__(self) -> str:
    (_, first), *rest = self.parts
    return "; ".join([first, *(f"from {time:g} s {prompt}" for time, prompt in rest)])

  @property
  def last(self) -> float:
    """The second at which the last prompt begins."""
    return self.parts[-1][0]

  def frames(self, rate: float, given: int = 0) -> FrameScript:
    """Converts the starts from seconds to frames.

    Args:
      rate: frames per second.
      given: number of conditioning frames. Frame 0 is the frame after them. Of the prompts that begin within
        the conditioning frames, the last one applies from frame 0, and the others are left out.
    """
    starts = [(math.ceil(time * rate - 1e-9) - given, prompt) for time, prompt in self.parts]
    begun = sum(start <= 0 for start, _ in starts) if given else 1
    return tuple((max(start, 0), prompt) for start, prompt in starts[begun - 1 :])


def prompt_at(script: str | FrameScript, frame: int) -> str:
  """The prompt that applies at a frame."""
  if isinstance(script, str):
    return script
  return next(prompt for start, prompt in reversed(script) if start <= frame)


def turns(script: str | FrameScript) -> tuple[int, ...]:
  """The frames at which the prompt changes."""
  starts = () if isinstance(script, str) else sorted({start for start, _ in script if start > 0})
  return tuple(start for start in starts if prompt_at(script, start) != prompt_at(script, start - 1))


def check_applied(script: str | FrameScript, frames: int, first: int, step: int) -> None:
  """Checks that every prompt of a script is used by a sampler whose prompt changes only between chunks.

  Args:
    script: the script.
    frames: number of frames of the movie.
    first: number of frames of the first chunk.
    step: number of frames of each later chunk.

  Raises:
    UserError: no chunk begins while a prompt applies, so that the prompt would never be used.
  """
  if isinstance(script, str):
    return
  ends = [*(start for start, _ in script[1:]), frames]
  for (start, prompt), end in zip(script, ends, strict=True):
    chunk = 0 if start <= 0 else first + step * max(0, -(-(start - first) // step))
    if chunk >= min(end, frames):
      raise UserError(
        f"the prompt {prompt!r} would be left out: it applies from frame {start} to {end}, the movie has "
        f"{frames} frames, and the prompt can only change every {step}; give it more time."
      )


def captions(
  scripts: Sequence[str | FrameScript], length: int
) -> Callable[[int], Int[Array, "batch length"]]:
  """Returns a function from a frame to the tokens of the prompts at this frame.

  For equal prompts, it returns the same array object.
  """
  tokens = functools.cache(lambda prompts: jnp.asarray(tokenize(prompts, length)))
  return lambda frame: tokens(tuple(prompt_at(script, frame) for script in scripts))


def read_script(path: str | Path) -> Script:
  """Reads a script from a YAML file, a list of {at: SECONDS, prompt: TEXT}.

  Raises:
    UserError: the file cannot be read, or does not contain a script.
  """
  try:
    parts = yaml.safe_load(decode_text(Path(path).read_bytes(), path))
  except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
    raise UserError(f"cannot read the script {path}: {one_line(error)}") from error
  if not isinstance(parts, list) or not all(_is_part(part) for part in parts):
    raise UserError(f"{path} is not a script: it must be a list of {{at: SECONDS, prompt: TEXT}}.")
  try:
    return Script(tuple((float(part["at"]), part["prompt"]) for part in parts))
  except OverflowError as error:
    raise UserError(f"{path}: the starts of a script must increase, to at most a year.") from error


def _is_part(part) -> bool:
  return (
    isinstance(part, dict)
    and set(part) == {"at", "prompt"}
    and type(part["at"]) in (int, float)
    and isinstance(part["prompt"], str)
  )
