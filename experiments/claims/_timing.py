"""Timing of programs that alternate."""


def alternate(programs: dict, rounds: int, warm: int = 3) -> dict[str, float]:
  """Name -> median seconds per call, with one call of each program in turn."""
  import statistics
  import time

  seconds = {name: [] for name in programs}
  for number in range(warm + rounds):
    for name, program in programs.items():
      began = time.perf_counter()
      program()
      if number >= warm:
        seconds[name].append(time.perf_counter() - began)
  return {name: statistics.median(each) for name, each in seconds.items()}
