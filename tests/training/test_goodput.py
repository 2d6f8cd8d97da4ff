"""The share of time that was not lost, on clocks that are under the test's hands."""

import json

import pytest

from stale_jax.training import goodput
from stale_jax.training.goodput import Goodput


class Clocks:
  monotonic_now, wall_now = 1000.0, 5e9

  def pass_(self, seconds):
    self.monotonic_now += seconds
    self.wall_now += seconds

  def monotonic(self):
    return self.monotonic_now

  def time(self):
    return self.wall_now


@pytest.fixture
def clocks(monkeypatch):
  clocks = Clocks()
  monkeypatch.setattr(goodput, "time", clocks)
  monkeypatch.setattr(goodput, "_boot", lambda: "this boot")
  return clocks


def test_starts_saves_restarts_and_repeated_steps_are_lost(tmp_path, clocks):
  first = Goodput(tmp_path)
  with first.lost():
    clocks.pass_(20)  # Compiles.
  clocks.pass_(50)
  with first.lost():
    clocks.pass_(10)  # Saves.
  assert first.measure() == {"goodput": 50 / 80, "productive_seconds": 50}
  clocks.pass_(15)  # Steps that a kill undoes.
  clocks.pass_(5)  # Nobody runs.
  second = Goodput(tmp_path, productive=50)
  with second.lost():
    clocks.pass_(20)
  clocks.pass_(80)
  assert second.measure() == {"goodput": 130 / 200, "productive_seconds": 130}


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_is_set_changes_nothing(tmp_path, clocks, jump):
  first = Goodput(tmp_path)
  clocks.pass_(50)
  clocks.wall_now += jump
  clocks.pass_(50)
  assert first.measure()["goodput"] == 1
  assert Goodput(tmp_path, productive=60).measure()["goodput"] == 0.6


def test_after_a_boot_the_wall_clock_tells(tmp_path, clocks, monkeypatch):
  Goodput(tmp_path)
  clocks.pass_(100)
  clocks.monotonic_now = 3.0
  monkeypatch.setattr(goodput, "_boot", lambda: "the next boot")
  assert Goodput(tmp_path, productive=60).measure()["goodput"] == pytest.approx(0.6)
  # A damaged record: the run begins now, at a share that is still one.
  (tmp_path / "started.json").write_text("{")
  assert Goodput(tmp_path, productive=60).measure()["goodput"] == 1
  assert json.loads((tmp_path / "started.json").read_text())["boot"] == "the next boot"
