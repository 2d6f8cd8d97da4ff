"""Writes metrics to the terminal, to a file of JSON lines and to TensorBoard."""

import contextlib
import dataclasses
import json
import sys
import time

import jax

from stale_jax.files import AnyPath, Written, write_whole
from stale_jax.flops import peak_flops
from stale_jax.training.goodput import Goodput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """What was measured of the averaged weights.

  Attributes:
    scores: suite/score -> value.
    movies: name -> (GIF, height, width).
  """

  scores: dict[str, float]
  movies: dict[str, tuple[bytes, int, int]]


class Metrics:
  """Writes a run's scalars. A resumed run continues the files as if it had not been interrupted.

  Args:
    folder: the run's folder, possibly in remote storage. Remote files are up to date after `publish`.
    start: the step that the run resumes from. Records of later steps are dropped.
    total: number of steps of the run.
  """

  def __init__(self, folder: AnyPath, start: int, total: int):
    from tensorboardX import SummaryWriter

    self._written = Written(folder)
    self._path = self._written.local / "metrics.jsonl"
    productive = self._drop_after(start, folder / "metrics.jsonl")
    self._goodput = Goodput(folder, productive)
    self.lost = self._goodput.lost
    self._file = self._path.open("a")
    self._board = SummaryWriter(str(self._written.local / "tensorboard"), purge_step=start + 1)
    self._total, self._step, self._time, self._waited = total, start, time.monotonic(), 0.0
    self._live = sys.stdout.isatty()

  def _drop_after(self, start: int, before: AnyPath) -> float:
    """Copies the records up to step `start` from `before`, the file that the interrupted run wrote.

    Returns:
      The productive seconds in the last of these records; 0 without records.
    """
    productive = 0.0
    if not before.exists():
      return productive
    kept = []
    for line in before.read_bytes().splitlines():
      try:
        written = json.loads(line)
        if written["step"] <= start:
          productive = float(written.get("productive_seconds", productive))
          kept.append(line + b"\n")
      except (ValueError, KeyError, TypeError, RecursionError):  # Truncated by a kill, or damaged.
        continue
    write_whole(self._path, b"".join(kept))
    return productive

  @contextlib.contextmanager
  def waiting_for_data(self):
    """Measures the time inside the context, which `write` reports as `data_wait`, a share of all time."""
    start = time.monotonic()
    yield
    self._waited += time.monotonic() - start

  def write(self, step: int, scalars: dict[str, float], flops: float | None = None) -> None:
    """Records `scalars` after `step` updates and prints the loss, the steps per second and the time left.

    Added to the scalars: `steps_per_second`, `step_seconds` and `data_wait` since the last call;
    `tflops_per_device` and, if the peak of the devices is known, `mfu`; and `Goodput.measure`.

    Args:
      step: number of completed updates.
      scalars: name -> value.
      flops: model FLOPs of a step, on all devices; None if they are not counted.
    """
    now = time.monotonic()
    elapsed = max(now - self._time, 1e-9)
    speed = (step - self._step) / elapsed
    times = {"steps_per_second": speed, "step_seconds": elapsed / max(step - self._step, 1)}
    times["data_wait"] = self._waited / elapsed
    scalars = {**scalars, **times, **_utilisation(speed, flops), **self._goodput.measure()}
    self._step, self._time, self._waited = step, now, 0.0
    self._file.write(json.dumps({"step": step, **scalars}) + "\n")
    self._file.flush()
    for name, value in scalars.items():
      self._board.add_scalar(name, value, step)
    minutes, seconds = divmod(round((self._total - step) / max(speed, 1e-9)), 60)
    used = (
      f"  {scalars['tflops_per_device']:.0f} TFLOP/s  MFU {scalars['mfu']:.1%}" if "mfu" in scalars else ""
    )
    line = (
      f"step {step}/{self._total}  loss {scalars['loss']:.4f}  {speed:.2f} steps/s{used}  "
      f"{minutes}:{seconds:02d} left"
    )
    print(f"\r{line}\033[K" if self._live else line, end="" if self._live else "\n", flush=True)

  def evaluated(self, step: int, evaluation: Evaluation) -> None:
    """Records an evaluation of the weights after `step` updates, in a line of its own, and prints it."""
    self._file.write(json.dumps({"step": step, **evaluation.scores}) + "\n")
    self._file.flush()
    for name, value in evaluation.scores.items():
      self._board.add_scalar(name, value, step)
    from tensorboardX.proto.summary_pb2 import Summary

    for name, (picture, height, width) in evaluation.movies.items():
      image = Summary.Image(encoded_image_string=picture, height=height, width=width, colorspace=3)
      self._board.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)
    shown = "  ".join(f"{name} {value:.4g}" for name, value in evaluation.scores.items())
    print("\r\033[K" if self._live else "", f"evaluation after step {step}: {shown}", sep="", flush=True)

  def publish(self) -> None:
    """Uploads the files if the folder is in remote storage, where files cannot be appended to."""
    self._written.publish()

  def close(self) -> None:
    if self._live:
      print()
    goodput = self._goodput.measure()["goodput"]
    print(f"goodput: {goodput:.1%} of the time since the run's first start was spent on training steps.")
    with contextlib.suppress(OSError):  # The disk is full, which has already been reported.
      self._file.close()
    with contextlib.suppress(OSError):
      self._board.close()
    self._written.close()


def _utilisation(speed: float, flops: float | None) -> dict[str, float]:
  """TFLOP/s per device, and their share of the peak if it is known.

  Args:
    speed: steps per second.
    flops: model FLOPs of a step; None if they are not counted.
  """
  if flops is None:
    return {}
  each, peak = speed * flops / jax.device_count(), peak_flops(jax.devices()[0].device_kind)
  return {"tflops_per_device": each / 1e12, **({} if peak is None else {"mfu": each / peak})}


class NoMetrics:
  """The metrics of processes that do not write any: all but process 0."""

  waiting_for_data = lost = staticmethod(contextlib.nullcontext)

  def write(self, step: int, scalars: dict[str, float], flops: float | None = None) -> None:
    """Does nothing."""

  def evaluated(self, step: int, evaluation: Evaluation) -> None:
    """Does nothing."""

  def publish(self) -> None:
    """Does nothing."""

  def close(self) -> None:
    """Does nothing."""
