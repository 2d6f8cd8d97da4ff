"""Runs one stage of curation on Apache Beam: maps each input, groups by key, and reduces each group.

A group's result is a folder, NAME/KEY, which the next stage reads. It appears only when it is complete. A
group that a runner computes again, because a worker was lost, therefore has the same result. All workers must
have access to the folders.

A pipeline is a chain of the few transforms that all runners support: Create, Reshuffle, ParDo and GroupByKey
with integers as keys. (Beam's Dask runner computes only the last collection of a pipeline, and Python's
hashes of strings differ between its workers.)
"""

import abc
import base64
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from stale_jax.data.curate.result_cache import PARTIAL
from stale_jax.errors import UserError
from stale_jax.files import FULL

# Surrounds the message of a UserError in the text of an exception, which runners put into others.
_MARK = "=#=stale_jax=#="


class Step(abc.ABC):
  """What a stage does. It is sent to the workers, so it must be serializable."""

  def open(self) -> None:  # noqa: B027
    """Is called once in a worker, before `map`."""

  def close(self) -> None:  # noqa: B027
    """Is called once in a worker, after the last `map`."""

  @abc.abstractmethod
  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """Yields pairs (key, value) for one input."""

  @abc.abstractmethod
  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """Writes the result of a group into `folder`. `values` are sorted."""


def run_stage(step: Step, lines: Sequence[str], out: Path, options: Sequence[str]) -> list[Path]:
  """Runs `step` on the inputs `lines`.

  Args:
    step: what to do.
    lines: the inputs.
    out: the folder of the results; it is replaced if it exists.
    options: Beam's flags.

  Returns:
    The folders of the groups, sorted by key.

  Raises:
    UserError: `step` raises it or an OSError, for example because the disk is full.
  """
  shutil.rmtree(out, ignore_errors=True)
  out.mkdir(parents=True)
  if not lines:
    return []
  pipeline = open_pipeline(options)
  _ = (
    pipeline
    | "inputs" >> beam.Create(list(lines))
    | "spread" >> beam.Reshuffle()
    | "map" >> beam.ParDo(_Map(step)).with_output_types(tuple[int, bytes])
    | "group" >> beam.GroupByKey()
    | "reduce" >> beam.ParDo(_Reduce(step, str(out)))
  )
  try:
    pipeline.run().wait_until_finish()
  except Exception as error:  # Runners wrap the exceptions of workers in exceptions of their own.
    if message := re.search(f"{_MARK}(.*?){_MARK}", str(error), re.DOTALL):
      raise UserError(base64.b64decode(message[1]).decode()) from error
    raise
  return sorted(out.glob("[0-9]*"))


def local_options(workers: int) -> list[str]:
  """The flags with which Beam runs on this machine, with `workers` processes."""
  # --allow_unsafe_triggers prevents the download of the Prism runner; the pipelines have no triggers.
  direct = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--default_sdk_harness_log_level=CRITICAL"]
  if workers > 1:
    direct += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
  return direct


def open_pipeline(options: Sequence[str]) -> beam.Pipeline:
  """A pipeline with Beam's flags `options`. Raises UserError if Beam rejects them."""
  try:
    return beam.Pipeline(options=PipelineOptions(list(options)))
  except (ValueError, ImportError, AttributeError) as error:
    raise UserError(f"Apache Beam rejects the flags {' '.join(options)!r}: {error}") from error


class _Map(beam.DoFn):
  def __init__(self, step: Step):
    self._step = step

  def setup(self):
    self._step.open()

  def teardown(self):
    self._step.close()

  def process(self, line: str) -> Iterator[tuple[int, bytes]]:
    try:
      yield from self._step.map(line)
    except (UserError, OSError) as error:
      raise _marked(error) from error


class _Reduce(beam.DoFn):
  def __init__(self, step: Step, out: str):
    self._step, self._out = step, out

  def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[int]:
    key, values = group
    final = Path(self._out) / f"{key:08}"
    partial = final.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
      partial.mkdir()
      self._step.reduce(key, sorted(values), partial)
      try:
        os.rename(partial, final)
      except OSError:
        if not final.exists():
          raise
        shutil.rmtree(partial)  # Another worker was faster.
    except (UserError, OSError) as error:
      shutil.rmtree(partial, ignore_errors=True)
      raise _marked(error) from error
    yield key


def _marked(error: UserError | OSError) -> RuntimeError:
  words = str(error)
  if isinstance(error, OSError) and error.errno in FULL:
    words = f"{error.strerror}: free some space and run again."
  return RuntimeError(f"{_MARK}{base64.b64encode(words.encode(errors='replace')).decode()}{_MARK}")
