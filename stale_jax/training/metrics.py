"""Where numbers go: a line on the terminal, JSON lines, TensorBoard."""

import json
import os
import sys
import time
from pathlib import Path


class Metrics:
  """Writes a run's scalars; after a resume, as if it had never stopped.

  Args:
    folder: of the run.
    start: the step that the run resumes from; what was written beyond it is dropped.
    total: steps of the run.
  """

  def __init__(self, folder: Path, start: int, total: int):
    from tensorboardX import SummaryWriter

    self._path = Path(folder) / "metrics.jsonl"
    self._drop_after(start)
    self._file = self._path.open("a")
    self._board = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=start + 1)
    self._total, self._step, self._time = total, start, time.monotonic()
    self._live = sys.stdout.isatty()

  def _drop_after(self, start: int) -> None:
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        if json.loads(line)["step"] <= start:
          kept.append(line + "\n")
      except (ValueError, KeyError):  # The line a kill cut short.
        continue
    partial = self._path.with_suffix(".partial")
    partial.write_text("".join(kept))
    os.replace(partial, self._path)

  def write(self, step: int, scalars: dict[str, float]) -> None:
    """Records `scalars` after `step` updates and shows loss, speed and time left."""
    now = time.monotonic()
    speed = (step - self._step) / max(now - self._time, 1e-9)
    self._step, self._time = step, now
    scalars = {**scalars, "steps_per_second": speed}
    self._file.write(json.dumps({"step": step, **scalars}) + "\n")
    self._file.flush()
    for name, value in scalars.items():
      self._board.add_scalar(name, value, step)
    minutes, seconds = divmod(round((self._total - step) / max(speed, 1e-9)), 60)
    line = (
      f"step {step}/{self._total}  loss {scalars['loss']:.4f}  {speed:.2f} steps/s  "
      f"{minutes}:{seconds:02d} left"
    )
    print(f"\r{line}\033[K" if self._live else line, end="" if self._live else "\n", flush=True)

  def close(self) -> None:
    if self._live:
      print()
    self._file.close()
    self._board.close()
