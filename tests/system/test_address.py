"""Runs at gs://: killed, gone on with, measured and used there, against a server that speaks its protocol."""

import json
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.weights import load_weights
from tests import micro
from tests.data.clips import encode
from tests.programs import ROOT, finish
from tests.storage import BUCKET, fetch, names, put, storage
from tests.system.test_folder import train as train_folder

RUN = f"{BUCKET}/runs/micro"


@pytest.fixture(scope="module")
def bucket():
  with storage() as environment:
    yield environment


@pytest.fixture(scope="module")
def run(bucket, micro_run):
  """One at an address, killed on its way, and the same one on a disk, left alone."""
  command = [sys.executable, "-m", "experiments.train", *micro.arguments(RUN)]
  streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **bucket}, **streams)
  said = []
  for line in process.stdout:
    said.append(line)
    if line.startswith("step 24/"):
      process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL, "".join(said)
  code, out, err = finish("train", *micro.arguments(RUN), **bucket)
  assert code == 0, err
  assert f"resuming {RUN} at step " in out and f"the last run in {RUN} (process {process.pid} on " in out
  return micro_run


@pytest.mark.slow
def test_killed_at_an_address_it_ends_with_the_bits_of_one_on_a_disk_left_alone(run, bucket):
  assert fetch(bucket, "runs/micro/weights.safetensors") == (run / "weights.safetensors").read_bytes()
  for path in (run / "snapshots").iterdir():
    assert fetch(bucket, f"runs/micro/snapshots/{path.name}") == path.read_bytes()
  there, here = (
    [json.loads(line) for line in text.splitlines()]
    for text in (fetch(bucket, "runs/micro/metrics.jsonl").decode(), (run / "metrics.jsonl").read_text())
  )
  assert [line["step"] for line in there] == [line["step"] for line in here]
  assert [line["loss"] for line in there] == [line["loss"] for line in here]


@pytest.mark.slow
def test_a_second_run_at_an_address_is_refused_and_the_first_goes_on(bucket, tmp_path):
  train = micro.arguments(f"{BUCKET}/runs/twice", training__steps=10**6)
  command = [sys.executable, "-m", "experiments.train", *train]
  streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  first = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **bucket}, **streams)
  for line in first.stdout:
    if line.startswith("step 4/"):
      break
  code, out, err = finish("train", *train, **bucket)
  assert code == 2 and f"a run is in progress in {BUCKET}/runs/twice (process {first.pid} on " in err, err
  assert "Traceback" not in err and "waiting" not in out
  first.send_signal(signal.SIGTERM)
  said = first.communicate(timeout=120)[0]
  assert first.returncode == 0 and "SIGTERM: saved step" in said, said
  assert "runs/twice/lock" not in names(bucket, "runs/twice/")


@pytest.mark.slow
def test_a_model_at_an_address_is_measured_and_makes_movies(run, bucket, tmp_path):
  code, out, err = finish("evaluate", f"--workdir={RUN}", "--suite=denoising", "--clips=8", **bucket)
  assert code == 0, err
  assert json.loads(fetch(bucket, "runs/micro/evaluation.json"))["denoising"] == json.loads(
    out.splitlines()[-1]
  )
  prompt = "--prompt=a red seven moves left quickly"
  for name, workdir in (("there", RUN), ("here", run)):
    code, _, err = finish("generate", f"--workdir={workdir}", prompt, f"--out={tmp_path / name}", **bucket)
    assert code == 0, err
  (there,), (here,) = (sorted((tmp_path / name).rglob("*.npz")) for name in ("there", "here"))
  for sense, values in np.load(here).items():
    np.testing.assert_array_equal(np.load(there)[sense], values)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_moved_aside_there_too(run, bucket):
  damaged = names(bucket, "runs/micro/checkpoints/40/state/d/")
  for name in damaged:
    put(bucket, name, fetch(bucket, name)[:-9])
  assert damaged
  code, out, err = finish("train", *micro.arguments(RUN), **bucket)
  assert code == 0, err
  assert "checkpoint 40 is damaged" in out and f"resuming {RUN} at step 32" in out
  assert names(bucket, "runs/micro/damaged_40/state/")
  assert fetch(bucket, "runs/micro/weights.safetensors") == (run / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
  ("workdir", "words"),
  [
    ("gs://nobody/run", "cannot reach gs://nobody"),
    ("gs://bucket", "gs://BUCKET/FOLDER"),
    ("http://bucket/run", "gs://BUCKET/FOLDER"),
    (f"{BUCKET}/nothing", "no weights at gs://bucket/nothing"),
  ],
)
def test_what_is_no_run_s_address_is_refused_in_one_line(bucket, tmp_path, workdir, words):
  program = ["evaluate", f"--workdir={workdir}", "--suite=captions"]
  code, out, err = finish(*program, **bucket)
  assert code == 2 and not out and words in err and err.count("\n") == 1, err


@pytest.mark.slow
def test_videos_at_an_address_train_the_model_that_they_train_on_a_disk(bucket, tmp_path):
  for name in ("a", "b", "c"):
    encode(tmp_path / f"{name}.mp4", tones=(440,))
    (tmp_path / f"{name}.txt").write_text(f"all the colours, {name}")
  for path in tmp_path.iterdir():
    put(bucket, f"videos/{path.name}", path.read_bytes())
  for name, source in (("here", tmp_path), ("there", f"{BUCKET}/videos")):
    code, _, err = train_folder(source, tmp_path / name, bucket, training__workers=2)
    assert code == 0, err
  a, b = (load_weights(tmp_path / name / "weights.safetensors")[0] for name in ("here", "there"))
  jax.tree.map(np.testing.assert_array_equal, a, b)
