"""Timing of several programs in alternation, and memory."""


def alternate(programs: dict, rounds: int, warm: int = 3) -> dict[str, float]:
  """Calls each program once per round, in turn.

  Args:
    programs: name -> function without arguments.
    rounds: number of timed rounds.
    warm: number of rounds before them, which are not timed.

  Returns:
    Name -> median seconds of a call.
  """
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


def resident() -> int:
  """The resident memory of this process, in bytes."""
  import os
  from pathlib import Path

  return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
