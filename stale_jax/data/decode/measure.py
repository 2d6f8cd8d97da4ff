"""Measures the sizes of all videos of a source."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stale_jax.data.decode.container import Unreadable
from stale_jax.data.print_once import print_once


def measure_all(
  measure: Callable[[int], tuple[int, int, float]], count: int
) -> list[tuple[int, int, float] | None]:
  """Calls `measure` for the indices below `count`, in parallel.

  Args:
    measure: index of a video -> (width in pixels, height in pixels, seconds). May raise Unreadable.
    count: number of videos.

  Returns:
    The result for each index; None for an unreadable video, which is reported on stderr.
  """

  def measured(which: int) -> tuple[int, int, float] | None:
    try:
      return measure(which)
    except Unreadable as error:
      print_once(f"left out: {error}")
      return None

  with ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(measured, range(count)))
