"""Curation on a cluster of two worker processes, one killed on the way, gives the bytes of a local run."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from stale_jax.testing.gestures import gesture
from stale_jax.testing.scenes import Change, scene, write
from tests.programs import finish, start

pytest.importorskip("distributed")
RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
  root = tmp_path_factory.mktemp("videos")
  (root / "salt").write_text("a salt of the test's\n")
  for k in range(4):
    write(root / f"take{k}.mp4", gesture(0, k, 1.5, 96, 160))
  two = np.concatenate([scene("pan", 1.3, 1, 96, 160), scene("objects", 1.3, 2, 96, 160)])
  write(root / "two.mp4", two)
  write(root / "again.mp4", Change(scale=0.75, gain=1.1, crf=30)(two))
  for name in ("two", "take0"):
    about = {"id": name, "extractor_key": "TikTok", "uploader_id": "someone", "description": "moves"}
    (root / f"{name}.info.json").write_text(json.dumps(about))
  (root / "broken.mp4").write_bytes(b"\0" * 1000)
  return root


@pytest.fixture
def cluster(tmp_path):
  """The path of the scheduler's file, and the processes of two workers."""
  address, environment = tmp_path / "scheduler.json", {**os.environ, "JAX_PLATFORMS": "cpu"}
  flags = ["--no-dashboard", "--scheduler-file", str(address)]
  processes = []

  def open_process(kind, *more):
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *flags, *more]
    log = (tmp_path / f"{len(processes)}.log").open("w")
    processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path))
    return processes[-1]

  open_process("scheduler", "--port", "0", "--host", "127.0.0.1")
  end = time.monotonic() + 60
  while not address.exists():
    assert time.monotonic() < end and processes[0].poll() is None, (tmp_path / "0.log").read_text()
    time.sleep(0.1)
  workers = [open_process("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
  yield address, workers
  for process in processes:
    process.kill()
    process.wait()


def flags(root, output, *more):
  return [f"--input={root}", f"--output={output}", f"--salt={root / 'salt'}", "--test_share=0.4", *more]


def published(output):
  files = [*(output / "clips").rglob("*"), output / "counts.json", *(output / "work").glob("*.jsonl")]
  return {str(path.relative_to(output)): path.read_bytes() for path in files if path.is_file()}


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_writes_the_bytes_of_one_machine(videos, cluster, tmp_path):
  address, workers = cluster
  code, out, err = finish("curate", *flags(videos, tmp_path / "local", "--workers=2"))
  assert code == 0, err
  counts = json.loads(out.splitlines()[-1])
  assert counts["kept"] == 6 and counts["left_out"] == {"duplicate": 2} and counts["clusters"] == 2
  beam = f"--beam=--runner={RUNNER} --dask_scheduler_file={address} --dask_npartitions=8"
  program = start("curate", *flags(videos, tmp_path / "cluster", beam))
  end = time.monotonic() + 300
  while len(list((tmp_path / "cluster/work/examined").glob("*/*.json"))) < 2:
    assert program.poll() is None and time.monotonic() < end, program.communicate()[0]
    time.sleep(0.02)
  workers[0].send_signal(signal.SIGKILL)
  out, _ = program.communicate(timeout=600)
  assert program.returncode == 0, out
  assert workers[0].wait() == -signal.SIGKILL and workers[1].poll() is None
  assert published(tmp_path / "cluster") == published(tmp_path / "local")
  assert len(published(tmp_path / "local")) >= 7
