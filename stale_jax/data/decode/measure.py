"""The sizes of all videos of a source."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stale_jax.data.decode.container import Unreadable
from stale_jax.data.said import say


def measure_all(
  measure: Callable[[int], tuple[int, int, float]], count: int
) -> list[tuple[int, int, float] | None]:
  """What `measure` returns for each number below `count`; None for an unreadable video, which is named."""

  def measured(which: int) -> tuple[int, int, float] | None:
    try:
      return measure(which)
    except Unreadable as error:
      say(f"left out: {error}")
      return None

  with ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(measured, range(count)))
