"""Training in several processes: killed, told to stop, halted for a while, started again: the same bits."""

import re
import signal
import time

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.checkpoints.weights import load_weights
from tests import hosts, micro

SILENCE = 10
SMALL = {
  "senses": ("sight",),
  "ema__snapshots": 0,
  "training__steps": 80,
  "training__silence": SILENCE,
}


def start(folder, count, devices=1, **overrides):
  command = micro.arguments(folder, **{**SMALL, "training__processes": count, **overrides})
  # What one has compiled the next ones need not.
  cache = {
    "JAX_COMPILATION_CACHE_DIR": str(folder.with_name("cache")),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  return hosts.start(folder.with_name("logs"), count, "train", *command, devices=devices, **cache)


def assert_same(a, b):
  a, b = newest_state(a), newest_state(b)
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def steps_of(host, beyond=0):
  """Waits for the first line of progress of a step after `beyond`."""
  for _ in range(30000):
    found = [int(step) for step in re.findall(r"^step (\d+)/", host.said(), re.M)]
    if found and found[-1] > beyond:
      return found[-1]
    assert host.process.is_alive(), host.said()
    time.sleep(0.01)
  raise TimeoutError(host.said())


@pytest.mark.slow
def test_two_processes_killed_and_stopped_end_as_one_process_does(tmp_path):
  (alone,) = start(tmp_path / "alone", 1, devices=2)
  assert alone.exit_code() == 0, alone.said()
  run = tmp_path / "run"

  # One that is slow is waited for. SIGTERM to one: both save the same step.
  first, second = start(run, 2)
  steps_of(first)
  second.send(signal.SIGSTOP)
  time.sleep(SILENCE / 4)
  second.send(signal.SIGCONT)
  second.send(signal.SIGTERM)
  assert first.exit_code() == second.exit_code() == 0, first.said() + second.said()
  saved = int(re.search(r"SIGTERM: saved step (\d+)", first.said())[1])
  assert [path.name for path in (run / "checkpoints").iterdir() if path.name == str(saved)]

  # One is killed: the other stops, and names it.
  for victim in (1, 0):
    pair = start(run, 2)
    pair[0].wait_for("resuming")
    saved = steps_of(pair[0], saved)
    pair[victim].send(signal.SIGKILL)
    killed = time.monotonic()
    other = pair[1 - victim]
    assert other.exit_code() == 3, other.said()
    assert time.monotonic() - killed < SILENCE + 60
    last = other.said().strip().split("\n")[-1]
    assert last.startswith(f"error: process {victim} of 2 ") and "start all of them again" in last

  # One process goes on with what two began.
  (last,) = start(run, 1, devices=2)
  assert last.exit_code() == 0 and "resuming" in last.said(), last.said()
  assert_same(tmp_path / "alone", run)


@pytest.mark.slow
def test_a_second_run_of_two_processes_is_refused_and_none_of_them_hangs(tmp_path):
  first = start(tmp_path / "run", 2, training__steps=10**6)
  steps_of(first[0])
  for host in start(tmp_path / "run", 2):
    assert host.exit_code() == 2, host.said()
    last = host.said().strip().split("\n")[-1]
    assert "a run is in progress in" in last and f"(process {first[0].process.pid} on " in last, host.said()
  first[1].send(signal.SIGTERM)
  assert [host.exit_code() for host in first] == [0, 0], first[0].said()


@pytest.mark.slow
def test_four_processes_train_as_one_does(tmp_path):
  short = {"training__steps": 4, "training__checkpoint_every": 4, "mesh__fsdp": 2, "ema__snapshots": 2}
  for name, count, devices in (("one", 1, 4), ("four", 4, 1)):
    for host in start(tmp_path / name, count, devices, **short, training__silence=100):
      assert host.exit_code() == 0, host.said()
  a, b = (newest_state(tmp_path / name) for name in ("one", "four"))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), a["params"], b["params"])
  snapshots = [
    load_weights(tmp_path / name / "snapshots" / "4_0.1.safetensors")[0] for name in ("one", "four")
  ]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *snapshots)


@pytest.mark.parametrize(
  ("environment", "overrides", "words"),
  [
    ({}, {"training__processes": 2}, ["a run of 1 processes", "training.processes=2"]),
    ({"JAX_PROCESS_ID": ""}, {"training__processes": 2}, ["JAX_COORDINATOR_ADDRESS", "or none"]),
    ({"JAX_NUM_PROCESSES": "2"}, {"training__processes": 2, "training__silence": 1}, ["did not connect"]),
    (
      {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"},
      {"training__processes": 2, "training__silence": 1},
      ["did not connect"],
    ),
  ],
)
def test_processes_that_do_not_meet_are_one_line_and_exit_2(tmp_path, environment, overrides, words):
  command = micro.arguments(tmp_path / "run", **overrides)
  (host,) = hosts.start(tmp_path / "logs", 1, "train", *command, **environment)
  assert host.exit_code() == 2
  assert host.said().count("\n") == 1 and all(word in host.said() for word in words)
