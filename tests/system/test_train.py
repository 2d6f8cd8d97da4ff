"""The training program, killed, damaged and misused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.checkpoints.weights import load_weights
from stale_jax.config import build
from stale_jax.training.program import training_program
from tests import micro
from tests.programs import ROOT, finish, start


def kill(process, draw, lines):
  """Kills -9 a random moment after so many lines of progress: in compilation, in a step, in a save."""
  for _ in range(lines):
    process.stdout.readline()
  time.sleep(draw.uniform(0, 4) if lines == 0 else draw.uniform(0, 0.1))
  process.kill()
  process.wait()


def test_a_run_killed_at_random_moments_ends_bitwise_as_one_that_was_not(micro_run, tmp_path):
  draw = random.Random()  # Any moment must do.
  workdir = micro_run
  # By the sixth line of steps the first checkpoint is done: the third save waits for the second.
  for lines in (0, 7, 5):
    kill(start("train", *micro.arguments(tmp_path)), draw, lines)
  code, out, err = finish("train", *micro.arguments(tmp_path))
  assert code == 0, err
  # It did go on, and did not do it all again.
  assert "resuming" in out and "at step" in out, out
  want, got = newest_state(workdir), newest_state(tmp_path)
  assert jax.tree.structure(want) == jax.tree.structure(got)
  for a, b in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))

  # The snapshots are the same files of the same bytes, none missing and none too many.
  want, got = ({p.name: p.read_bytes() for p in (f / "snapshots").iterdir()} for f in (workdir, tmp_path))
  assert set(want) == {f"{t}_{std}.safetensors" for t in (7, 14, 20, 27, 34, 40) for std in (0.05, 0.1)}
  assert got == want
  # The last of them is the track that the state holds.
  for index, std in enumerate((0.05, 0.1)):
    snapshot, _ = load_weights(tmp_path / "snapshots" / f"40_{std}.safetensors")
    tracks = newest_state(tmp_path)["tracks"]
    jax.tree.map(np.testing.assert_array_equal, snapshot, tracks[index])

  def losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]

  assert losses(workdir) == losses(tmp_path)
  assert [step for step, _ in losses(tmp_path)] == list(range(4, 41, 4))


def test_sigterm_saves_and_exits_0_and_the_run_goes_on(micro_run, tmp_path):
  process = start(
    "train", *micro.arguments(tmp_path, training__steps=100000, training__checkpoint_every=50000)
  )
  for line in process.stdout:
    if line.startswith("step 8"):
      break
  process.send_signal(signal.SIGTERM)
  out = process.stdout.read()
  assert process.wait(timeout=60) == 0, out
  saved = int(out.split("SIGTERM: saved step ")[1].split()[0])
  assert saved >= 8
  process = start(
    "train", *micro.arguments(tmp_path, training__steps=100000, training__checkpoint_every=50000)
  )
  first = process.stdout.readline()
  process.kill()
  process.wait()
  assert f"at step {saved}" in first


def test_every_checkpoint_kept_is_whole_though_training_went_on_while_it_was_written(micro_run, tmp_path):
  copy = tmp_path / "run"
  shutil.copytree(micro_run, copy)
  like = training_program(build(micro.config())).state
  said = []
  for step in (40, 32, 24):
    checkpoints = Checkpointer(copy)
    state, _ = checkpoints.restore(like, say=said.append)
    checkpoints.close()
    assert int(state.step) == step and not said
    shutil.rmtree(copy / "checkpoints" / str(step))


def test_a_damaged_checkpoint_falls_back_and_says_so(micro_run, tmp_path):
  workdir = micro_run
  copy = tmp_path / "run"
  shutil.copytree(workdir, copy)
  # One bit of each file of arrays: which of them are referred to, and where, depends on the writer's timing.
  for file in (copy / "checkpoints" / "40" / "state").rglob("d/*"):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
  # What was taken after step 32 is taken again.
  (copy / "snapshots" / "34_0.05.safetensors").write_bytes(b"of another future")
  code, out, err = finish("train", *micro.arguments(copy))
  assert code == 0, err
  assert "checkpoint 40 is damaged" in out and "going back to step 32" in out
  assert "resuming" in out and "at step 32" in out
  for path in (workdir / "snapshots").iterdir():
    assert path.read_bytes() == (copy / "snapshots" / path.name).read_bytes()
  for a, b in zip(jax.tree.leaves(newest_state(workdir)), jax.tree.leaves(newest_state(copy)), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_a_truncated_checkpoint_falls_back_too(micro_run, tmp_path):
  workdir = micro_run
  copy = tmp_path / "run"
  shutil.copytree(workdir, copy)
  for file in (copy / "checkpoints" / "40" / "state").rglob("*"):
    if file.is_file():
      file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
  code, out, err = finish("train", *micro.arguments(copy))
  assert code == 0, err
  assert "checkpoint 40 is damaged" in out and "at step 32" in out


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"model__widht": 3}, ["unknown config key", "widht", "'width'"]),
    ({"process__name": "uniform_flwo"}, ["uniform_flwo", "'uniform_flow'"]),
    ({"senses": ("sight", "tuch")}, ["'tuch'", "'touch'"]),
    ({"training__init_from": "/nowhere.safetensors"}, ["/nowhere.safetensors"]),
    ({"source__canvas": 13}, ["canvas=13", "divisible by 4"]),
    ({"mesh__data": 7}, ["mesh data=7", "1 device"]),
    ({"training__batch": 9, "training__accumulate": 2}, ["training.batch=9"]),
  ],
)
def test_bad_config_is_one_line_and_exit_2(tmp_path, overrides, words):
  code, out, err = finish("train", *micro.arguments(tmp_path / "run", **overrides))
  assert code == 2 and not out and not (tmp_path / "run").exists()
  assert err.count("\n") == 1 and err.startswith("error: ")
  for word in words:
    assert word in err


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / "file").write_text("")
  code, out, err = finish("train", *micro.arguments(tmp_path / "file" / "run"))
  assert code == 2 and not out and err.count("\n") == 1 and "cannot write" in err


def test_another_model_in_the_folder_is_refused(micro_run, tmp_path):
  workdir = shutil.copytree(micro_run, tmp_path / "run")
  code, out, err = finish("train", *micro.arguments(workdir, model__depth=2))
  assert code == 2 and not out and err.count("\n") == 1 and "model.depth=1 (now 2)" in err
  # Nor are tracks begun in the middle of a run, or left behind there.
  code, out, err = finish("train", *micro.arguments(workdir, ema__snapshots=0))
  assert code == 2 and not out and err.count("\n") == 1 and "ema.tracks=(0.05, 0.1) (now ())" in err


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(tmp_path):
  train = micro.arguments(tmp_path, training__steps=200, training__checkpoint_every=20)
  first = start("train", *train)
  for line in first.stdout:
    if line.startswith("step 4/"):
      break
  code, out, err = finish("train", *train)
  assert code == 2 and not out and err.count("\n") == 1, err
  assert f"a run is in progress in {tmp_path} (process {first.pid} on " in err
  said = first.stdout.read()
  assert first.wait(60) == 0 and "Traceback" not in said, said
  lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
  assert [line["step"] for line in lines] == list(range(4, 201, 4))


@pytest.mark.slow
def test_workers_read_the_same_batches_and_end_with_a_run_that_is_killed(tmp_path):
  for workers in (0, 2):
    train = micro.arguments(tmp_path / str(workers), training__steps=8, training__workers=workers)
    code, _, err = finish("train", *train)
    assert code == 0, err
  a, b = (newest_state(tmp_path / name) for name in ("0", "2"))
  jax.tree.map(np.testing.assert_array_equal, a, b)

  process = start("train", *micro.arguments(tmp_path / "killed", training__steps=10**6, training__workers=2))
  for line in process.stdout:
    if line.startswith("step "):
      break
  children = [
    pid for path in Path(f"/proc/{process.pid}/task").glob("*/children") for pid in path.read_text().split()
  ]
  workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
  assert len(workers) == 2
  process.kill()
  process.wait()
  for _ in range(300):
    if not any(Path(f"/proc/{pid}").exists() for pid in workers):
      return
    time.sleep(0.1)
  raise AssertionError("the workers go on")


@pytest.mark.slow
def test_a_signal_to_all_processes_saves_though_workers_get_it_too(tmp_path):
  train = micro.arguments(tmp_path, training__steps=10**6, training__workers=2)
  command = [sys.executable, "-m", "experiments.train", *train]
  streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **streams)
  for line in process.stdout:
    if line.startswith("step "):
      break
  os.killpg(process.pid, signal.SIGTERM)
  said = process.communicate(timeout=120)[0]
  assert process.returncode == 0 and "SIGTERM: saved step" in said, said
