"""Cost tables, admission, and the simulation of many streams."""

import pytest

from stale_jax.errors import UserError
from stale_jax.sampling.stream.schedule import CostTable, latency, measure, ready, simulate

TABLE = CostTable({1: 0.010, 2: 0.016, 4: 0.028, 8: 0.052})


def test_capacity_is_the_largest_batch_that_fits_into_its_share_of_the_period():
  assert [TABLE.capacity(period) for period in (0.011, 0.012, 0.03, 0.032, 0.1)] == [0, 1, 2, 4, 8]
  assert TABLE.capacity(0.1, share=0.3) == 4
  assert CostTable({1: 0.01, 2: 0.09, 4: 0.05}).capacity(0.07) == 1  # Two streams would not fit.
  assert [TABLE.batch(streams) for streams in (1, 2, 3, 4, 5, 8)] == [1, 2, 4, 4, 8, 8]
  with pytest.raises(UserError, match="9 streams"):
    TABLE.batch(9)
  with pytest.raises(UserError, match="ascending"):
    CostTable({2: 0.1, 1: 0.05})


def test_a_stream_is_refused_if_it_or_another_would_be_too_slow():
  assert TABLE.admits([]) and TABLE.admits([0.1] * 8) and not TABLE.admits([0.1] * 9)
  assert not TABLE.admits([0.1, 0.1, 0.1, 0.1, 0.03])  # Five streams tick too slowly for the last one.
  assert TABLE.admits([0.1, 0.1, 0.1, 0.032]) and not TABLE.admits([0.011])


def test_measured_costs_do_not_fall_with_the_batch():
  calls = []
  table = measure(lambda size: lambda: calls.append(size), [4, 1, 2, 2], repeats=3)
  assert list(table.seconds) == [1, 2, 4] and calls == [1] * 5 + [2] * 5 + [4] * 5
  costs = list(table.seconds.values())
  assert costs == sorted(costs)


def test_a_tick_takes_no_frames_that_are_not_buffered():
  assert ready([0, 2, 3, 7], 3) == [False, False, True, True]


@pytest.mark.parametrize(("period", "chunk", "levels"), [(0.06, 1, 4), (0.058, 4, 1), (0.2, 3, 2)])
def test_admitted_streams_keep_their_latency_and_others_are_refused(period, chunk, levels):
  done = simulate(TABLE, [period] * 10, seconds=60, chunk=chunk, levels=levels)
  assert done.refused == 2 and done.overdrawn == 0
  assert abs(done.chunks - 8 * 60 / period) < 8 * (levels + 2)
  assert done.missed <= 0.01 * done.chunks
  assert latency(period, levels) == (levels + 1) * period


def test_without_admission_or_buffers_the_promises_break():
  late = simulate(TABLE, [0.012] * 8, seconds=10, admission=False)
  assert late.missed > 0.5 * late.chunks
  eager = simulate(
    TABLE, [0.1] * 8, seconds=2, chunk=4, choose=lambda buffered, chunk: [True] * len(buffered)
  )
  assert eager.overdrawn > 0
