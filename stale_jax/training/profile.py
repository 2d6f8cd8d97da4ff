"""Traces a range of steps for XProf or TensorBoard's profiler."""

import re
from pathlib import Path

import jax

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, Written


def parse_window(text: str) -> tuple[int, int]:
  """Parses START:STOP: the numbers of completed updates before the first and after the last traced step.

  Raises:
    UserError: `text` does not have that form, or START is not less than STOP.
  """
  match = re.fullmatch(r"(\d+):(\d+)", text)
  if not match or int(match[1]) >= int(match[2]):
    raise UserError(f"--profile={text} must be START:STOP in steps, with 0 <= START < STOP.")
  return int(match[1]), int(match[2])


class Profile:
  """Writes a trace of the steps of `window`, (start, stop), to `folder`; does nothing if `window` is None."""

  def __init__(self, folder: AnyPath, window: tuple[int, int] | None):
    self._folder, self._window, self._trace = Path(folder), window, None

  def before(self, step: int) -> None:
    """Must be called before each step, with the number of completed updates."""
    if self._window and self._window[0] <= step < self._window[1] and not self._trace:
      self._trace = Written(self._folder)
      jax.profiler.start_trace(self._trace.local)

  def after(self, step: int, result) -> None:
    """Must be called after each step, with the number of completed updates and the result of the step."""
    if self._trace and step >= self._window[1]:
      jax.block_until_ready(result)
      self.close()

  def close(self) -> None:
    """Ends the trace, if one is active."""
    if self._trace:
      jax.profiler.stop_trace()
      self._trace.close()
      self._trace, self._window = None, None
