"""The loader: the same batches whoever reads them, positions that fit every loader, faults as one line."""

import dataclasses
import time

import numpy as np
import pytest

from stale_jax.data import Digits, build_senses, loader
from stale_jax.errors import UserError

SOURCE = Digits(canvas=12, frames=4, patch=2)
SENSES = build_senses(("sight", "touch"), SOURCE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broken(Digits):
  """Digits of which one cannot be read. Pickled by reference: a worker imports it."""

  def __getitem__(self, index: int) -> dict:
    if index % 5 == 0:
      raise UserError(f"example {index}\nis broken.")
    return super().__getitem__(index)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slow(Digits):
  """Digits whose reading keeps a core, and Python's lock, busy."""

  def __getitem__(self, index: int) -> dict:
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
      pass
    return super().__getitem__(index)


def batches(source=SOURCE, **options):
  return iter(loader(source, SENSES, batch=4, text_length=48, seed=3, **options))


def assert_same(a, b):
  np.testing.assert_array_equal(a.index, b.index)
  np.testing.assert_array_equal(a.context.text, b.context.text)
  assert set(a.clip) == set(b.clip)
  for name in a.clip:
    np.testing.assert_array_equal(a.clip[name], b.clip[name])


def test_batches_are_the_same_whoever_reads_them():
  alone, workers = batches(threads=1), batches(workers=2)
  want = [next(alone) for _ in range(7)]
  for batch in want:
    assert_same(next(workers), batch)
  # One goes on where the other was, with another number of workers.
  assert alone.get_state() == workers.get_state() == {"next_index": 7}
  other = batches(workers=3)
  other.set_state({"next_index": 4})
  assert_same(next(other), want[4])
  # Nor does it matter that a process reads only some rows.
  rows = batches(rows=np.array([1, 3]), workers=1)
  rows.set_state({"next_index": 5})
  np.testing.assert_array_equal(next(rows).index, want[5].index[[1, 3]])


def test_captions_alone_are_read_by_workers_too():
  alone, workers = batches(clips=False), batches(clips=False, workers=2)
  for _ in range(3):
    a, b = next(alone), next(workers)
    assert not a.clip
    np.testing.assert_array_equal(a.context.text, b.context.text)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_example_that_cannot_be_read_is_named(workers):
  read = batches(Broken(canvas=12, frames=4, patch=2), workers=workers)
  with pytest.raises(UserError, match=r"^example \d*[05]\nis broken\.$"):
    for _ in range(20):
      next(read)


@pytest.mark.slow
def test_workers_are_not_held_up_by_pythons_lock():
  def seconds(**options):
    read = batches(Slow(canvas=12, frames=4, patch=2), **options)
    next(read)
    began = time.perf_counter()
    for _ in range(10):
      next(read)
    return time.perf_counter() - began

  assert seconds(workers=2) < 0.7 * seconds(threads=2)
