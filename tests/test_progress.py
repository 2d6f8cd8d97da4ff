"""Progress lines: when they are printed and what they say."""

import time

import pytest

from stale_jax import progress
from stale_jax.progress import Stage, tracked


@pytest.fixture
def quick(monkeypatch):
  """Lines come fast, so that the test does."""
  monkeypatch.setenv("STALE_JAX_QUIET", "0")
  for name, value in {"_DELAY": 0.2, "_INTERVAL": 0.2, "_POLL": 0.01}.items():
    monkeypatch.setattr(progress, name, value)


def test_a_long_stage_says_what_it_does_and_how_far_it_is(quick, capsys):
  with Stage("measuring"), Stage("sampling", 4, "clips", note="compiles first") as stage:
    time.sleep(0.3)
    for _ in range(3):
      time.sleep(0.2)
      stage.advance()
    time.sleep(0.5)
  lines = capsys.readouterr().err.splitlines()
  assert lines[0] == "sampling 4 clips (compiles first) ..."
  assert lines[-1].startswith("sampling: 3 of 4 clips, 0:0") and lines[-1].endswith(" left")


def test_a_short_stage_and_a_quiet_program_print_nothing(quick, capsys, monkeypatch):
  with Stage("loading"):
    pass
  monkeypatch.setenv("STALE_JAX_QUIET", "1")
  with Stage("measuring"):
    time.sleep(0.5)
  assert not capsys.readouterr().err


def test_the_outer_stage_speaks_while_inner_ones_are_short(quick, capsys):
  with Stage("measuring"):
    for _ in range(12):
      with Stage("sampling"):
        time.sleep(0.1)
  lines = capsys.readouterr().err.splitlines()
  assert lines[0] == "measuring ..." and "measuring: 0:01 so far" in lines and "sampling ..." not in lines


def test_speed_is_measured_after_the_first_batch_which_compiles():
  stage = Stage("sampling", 100, "clips")
  stage._began, stage._done, stage._first, stage._latest = 0.0, 30.0, (60.0, 10.0), 70.0
  assert stage.status(71.0) == "sampling: 30 of 100 clips, 0:35 left"


def test_tracked_items_are_the_same_and_are_counted():
  stage = Stage("sampling", 6, "frames")
  assert list(tracked(["ab", "c", "def"], stage, len)) == ["ab", "c", "def"] and stage._done == 6
  assert not progress._active
