"""Loads batches from a source: shuffled, read in parallel, and resumable at the exact example."""

import dataclasses
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np
from absl import flags
from jaxtyping import Int

from stale_jax.clip import Batch, Sense
from stale_jax.data.collate import captions_alone, collate
from stale_jax.data.source import Source
from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
  """The order of examples: an endless sequence of the indices of the examples that a process reads.

  Elements `k * len(rows)` to `(k + 1) * len(rows) - 1` are the rows of batch k that the process reads. All
  examples of a batch come from one of the source's index ranges (`Source.sizes`). A fraction
  `source.shares[k]` of the batches, evenly spread, comes from range k. Each epoch of a range is shuffled
  differently.

  Attributes:
    ranges: for each range with a positive share, its indices, shuffled and repeated.
    shares: the shares of these ranges.
    batch: the number of examples in a global batch.
    rows: the rows of each batch.
  """

  ranges: Sequence[grain.MapDataset]
  shares: Sequence[float]
  batch: int
  rows: Int[np.ndarray, "rows"]

  @functools.cached_property
  def _batches(self) -> grain.MapDataset:
    """Number of a batch -> (its range, its number among the batches of the range)."""
    each = [
      grain.MapDataset.range(len(indices) // self.batch).map(functools.partial(_paired, number))
      for number, indices in enumerate(self.ranges)
    ]
    return grain.MapDataset.mix(each, self.shares) if len(each) > 1 else each[0]

  def __len__(self) -> int:
    return len(self._batches) * len(self.rows)

  def __getitem__(self, index: int) -> int:
    number, row = divmod(index, len(self.rows))
    which, batch = self._batches[number]
    return int(self.ranges[which][batch * self.batch + int(self.rows[row])])


def _paired(number: int, batch: int) -> tuple[int, int]:
  return number, batch


def order(source: Source, batch: int, seed: int, rows: Int[np.ndarray, "rows"]) -> Order:
  """The order in which `loader` reads the examples of `source`; see there."""
  shares = source.shares
  size = len(source) // len(shares)
  # Effectively infinite, but small enough that the number of examples fits in 64 bits, whatever the shares.
  epochs = (1 << 50) // size
  ranges, weights = [], []
  for bucket, share in enumerate(shares):
    if share:
      indices = grain.MapDataset.range(bucket * size, (bucket + 1) * size).seed(seed + bucket)
      ranges.append(indices.shuffle().repeat(epochs))
      weights.append(share)
  return Order(ranges=ranges, shares=weights, batch=batch, rows=rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loader:
  """An endless iterable of batches. Its iterators can be saved and restored (`get_state`, `set_state`).

  Attributes:
    order: the indices of the examples, batch after batch.
    read: index -> example.
    collate: the examples of a batch -> the batch.
    threads: number of threads that read examples in advance, in this process or in each worker.
    workers: number of processes that read examples; 0 reads in this process.
  """

  order: Order
  read: Callable[[int], Any]
  collate: Callable[[Sequence[Any]], Batch]
  threads: int = 2
  workers: int = 0

  def __iter__(self) -> "Batches":
    return Batches(self)

  def starting_at(self, batch: int) -> "Iterator[_Result]":
    """The batches from number `batch` on, or why they cannot be read."""
    rows = len(self.order.rows)
    examples = grain.MapDataset.source(self.order)[batch * rows :].map(_Caught(self.read))
    ahead = max(16, 2 * rows)
    dataset = examples.to_iter_dataset(
      grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=ahead)
    )
    if self.workers:
      if not flags.FLAGS.is_parsed():  # Outside of our programs; Grain reads a flag of its own.
        flags.FLAGS.mark_as_parsed()
      buffer = -(-ahead // self.workers)
      options = grain.MultiprocessingOptions(num_workers=self.workers, per_worker_buffer_size=buffer)
      dataset = dataset.mp_prefetch(options, worker_init_fn=_end_with_parent)
    batches = dataset.batch(rows, batch_fn=self._collated)
    return iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))

  def _collated(self, examples: Sequence["_Result"]) -> "_Result":
    failed = (example for example in examples if example.error)
    return next(failed, None) or _Caught(self.collate)([example.value for example in examples])


class Batches:
  """An iterator over the batches of a `Loader`. Its state is the number of the next batch.

  Raises:
    UserError: an example cannot be read, or examples do not fit into a batch.
  """

  def __init__(self, loader: Loader):
    self._loader, self._next, self._batches = loader, 0, None

  def __iter__(self) -> "Batches":
    return self

  def __next__(self) -> Batch:
    if self._batches is None:
      self._batches = self._loader.starting_at(self._next)
    batch = next(self._batches)
    if batch.error:
      raise UserError(batch.error)
    self._next += 1
    return batch.value

  def get_state(self) -> dict[str, int]:
    """The position, as JSON. It does not depend on the rows, threads and workers of the loader."""
    return {"next_index": self._next}

  def set_state(self, state: Mapping[str, int]) -> None:
    """Continues at a position of this or another iterator over the same batches."""
    self.close()
    self._next = state["next_index"]

  def close(self) -> None:
    """Ends the threads and workers that read in advance. The next batch starts them again."""
    if self._batches is not None:
      self._batches.close()
    self._batches = None


def _end_with_parent(worker: int, workers: int) -> None:
  """Ends this worker process when the process that started it has died, even by SIGKILL, and not before.

  A signal to the whole group of processes must not end the workers: training saves before it ends.
  """
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)

  def watch():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


class _Result(NamedTuple):
  """An example or a batch, or why it cannot be made. Grain would add words to an exception.

  Attributes:
    value: the example or batch.
    error: the message of a UserError; "" if there is none.
  """

  value: Any = None
  error: str = ""


@dataclasses.dataclass(frozen=True)
class _Caught:
  """`function`, whose UserErrors are returned and not raised."""

  function: Callable[[Any], Any]

  def __call__(self, argument: Any) -> _Result:
    try:
      return _Result(self.function(argument))
    except UserError as error:
      return _Result(error=str(error))


def loader(
  source: Source,
  senses: Sequence[Sense],
  *,
  batch: int,
  text_length: int,
  seed: int,
  rows: Int[np.ndarray, "rows"] | None = None,
  micro: Sequence[str] = (),
  clips: bool = True,
  threads: int = 2,
  workers: int = 0,
) -> Loader:
  """An endless iterable of batches, whose examples are read in advance by threads or processes.

  Each process of a run reads only its own rows of each batch. The contents of the global batch and the
  iterator's state do not depend on `rows`, `threads` and `workers`, so a run can resume with others.

  Args:
    source: the source of the examples; see `Order`.
    senses: the senses to read.
    batch: the number of examples in a global batch, over all processes of the run.
    text_length: length of a tokenized caption in tokens: a start token and bytes.
    seed: seed of the shuffle.
    rows: the rows of each batch that this process reads; None for all.
    micro: names of the micro-conditions to measure (`data.micro`).
    clips: whether to read clips and labels; if False, only captions are read.
    threads: the number of threads that read examples in advance, in this process or in each worker.
    workers: the number of processes that read examples; 0 reads in this process. Use them if decoding is the
      bottleneck: threads of one process share Python's lock.
  """
  rows = np.arange(batch) if rows is None else rows
  if clips:
    read = functools.partial(stored, source)
    collated = functools.partial(
      collate, senses=senses, text_length=text_length, labels=source.labels, micro=micro
    )
  else:
    read = functools.partial(_captioned, source)
    collated = functools.partial(captions_alone, text_length=text_length)
  indices = order(source, batch, seed, rows)
  return Loader(order=indices, read=read, collate=collated, threads=threads, workers=workers)


def _captioned(source: Source, index: int) -> tuple[int, str]:
  """(index, caption) of an example. Raises UserError if it cannot be read."""
  return index, _readable(source.caption, index)


def first_stored(source: Source) -> dict:
  """The first example of the first clip size with a positive share (`Source.shares`).

  Raises:
    UserError: the source has no usable examples, or the example cannot be read.
  """
  shares = source.shares
  return stored(source, len(source) // len(shares) * next(k for k, share in enumerate(shares) if share))


def stored(source: Source, index: int) -> dict:
  """The example at `index`; sight is uint8 if the source stores it as bytes (see `clip.floats`).

  Raises:
    UserError: the example cannot be read.
  """
  return _readable(source.stored, index)


def _readable(read: Callable[[int], Any], index: int) -> Any:
  try:
    return read(index)
  except (OSError, EOFError, ValueError) as error:
    raise UserError(f"example {index} of the data cannot be read: {error}") from error
