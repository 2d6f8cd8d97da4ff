"""A trace of chosen steps, for XProf and TensorBoard's profiler."""

import re
from pathlib import Path

import jax

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, Written


def parse_window(text: str) -> tuple[int, int]:
  """START:STOP, the number of updates done before the first step traced and after the last.

  Raises:
    UserError: it is not that.
  """
  match = re.fullmatch(r"(\d+):(\d+)", text)
  if not match or int(match[1]) >= int(match[2]):
    raise UserError(f"--profile={text}: give START:STOP in steps, 0 <= START < STOP.")
  return int(match[1]), int(match[2])


class Profile:
  """Traces the steps of `window`, (start, stop), into `folder`; none if it is None."""

  def __init__(self, folder: AnyPath, window: tuple[int, int] | None):
    self._folder, self._window, self._on = Path(folder), window, None

  def before(self, step: int) -> None:
    """Called with the number of updates done, before each step."""
    if self._window and self._window[0] <= step < self._window[1] and not self._on:
      self._on = Written(self._folder)
      jax.profiler.start_trace(self._on.local)

  def after(self, step: int, result) -> None:
    """Called with the number of updates done and what the last of them computed."""
    if self._on and step >= self._window[1]:
      jax.block_until_ready(result)
      self.close()

  def close(self) -> None:
    """Ends a trace that the run did not live to the end of."""
    if self._on:
      jax.profiler.stop_trace()
      self._on.close()
      self._on, self._window = None, None
