"""Jobs of a real Slurm cluster of two machines: a process is killed, the job is cancelled."""

import re
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from tests import micro, slurm
from tests.programs import ROOT, finish

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(not slurm.is_installed(), reason="Slurm is not installed: apt-get install slurm-wlm"),
]
SMALL = {"senses": ("sight",), "ema__snapshots": 0, "training__steps": 80, "training__silence": 10}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
  with slurm.cluster(tmp_path_factory.mktemp("slurm") / "cluster") as environment:
    yield environment


@pytest.fixture
def repository(tmp_path):
  """The folder of the repository on every machine."""
  folder = tmp_path / "the code"
  folder.mkdir()
  for name in ("stale_jax", "experiments", "configs"):
    (folder / name).symlink_to(ROOT / name)
  (folder / ".venv").symlink_to(sys.prefix)
  return folder


def submit(cluster, repository: Path, workdir: Path, out: Path, **overrides) -> str:
  """Submits a run of two machines; returns the number of the job."""
  config, _, *flags = micro.arguments(workdir, **SMALL, **overrides)
  description = {
    "job": "micro",
    "config": config.partition("=")[2],
    "workdir": str(workdir),
    "topology": "h100:8",
    "slices": 2,
    "overrides": tuple(text.removeprefix("--config.") for text in flags),
    "directory": str(repository),
  }
  out.mkdir()
  path = out / "run.py"
  path.write_text(
    f"from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({description})\n"
  )
  code, said, err = finish("launch", f"--run={path}", "--client=slurm", f"--out={out}", **cluster)
  assert code == 0, err
  return re.search(r"Submitted batch job (\d+)", said)[1]


def wait_for(words: str, log: Path) -> None:
  for _ in range(3000):
    if log.exists() and words in log.read_text():
      return
    time.sleep(0.1)
  raise TimeoutError(log.read_text() if log.exists() else "no log")


def state_of(cluster, job: str) -> str:
  """The state of a job, in words of `squeue`."""
  return slurm.ask(cluster, "squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}").strip()


def wait_for_state(cluster, job: str, *states: str) -> str:
  for _ in range(3000):
    if (state := state_of(cluster, job)) in states:
      return state
    time.sleep(0.1)
  raise TimeoutError(state)


def test_a_job_whose_process_is_killed_is_queued_again_and_ends_as_if_it_were_not(
  cluster, repository, tmp_path
):
  alone = tmp_path / "alone"
  job = submit(cluster, repository, alone, tmp_path / "first")
  assert wait_for_state(cluster, job, "COMPLETED", "FAILED") == "COMPLETED"

  run, log = tmp_path / "run", tmp_path / f"second/micro-{int(job) + 1}.log"
  job = submit(cluster, repository, run, tmp_path / "second")
  wait_for("step 20/", log)
  training = f"^[^ ]*python -m experiments.train .*--workdir={run}"
  subprocess.run(["pkill", "-KILL", "--newest", "--full", training], check=True)
  wait_for("start all of them again", log)
  wait_for("queueing the job again", log)
  # Slurm waits two minutes before it starts such a job.
  wait_for_state(cluster, job, "PENDING")
  slurm.ask(cluster, "scontrol", "update", f"JobId={job}", "StartTime=now")
  assert wait_for_state(cluster, job, "COMPLETED", "FAILED") == "COMPLETED", log.read_text()
  assert "resuming" in log.read_text()
  a, b = newest_state(alone), newest_state(run)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_job_that_is_cancelled_saves_and_is_not_queued_again(cluster, repository, tmp_path):
  run = tmp_path / "run"
  job = submit(cluster, repository, run, tmp_path / "first")
  log = tmp_path / f"first/micro-{job}.log"
  wait_for("step 4/", log)
  slurm.ask(cluster, "scancel", job)
  assert wait_for_state(cluster, job, "CANCELLED", "FAILED", "COMPLETED") == "CANCELLED"
  wait_for("saved step", log)
  time.sleep(3)
  assert state_of(cluster, job) == "CANCELLED" and list((run / "checkpoints").iterdir())


def test_a_mistake_of_the_user_ends_the_job(cluster, repository, tmp_path):
  job = submit(cluster, repository, tmp_path / "run", tmp_path / "first", model__heads=3)
  log = tmp_path / f"first/micro-{job}.log"
  wait_for("error: model.", log)
  assert wait_for_state(cluster, job, "COMPLETED", "FAILED", "PENDING") == "FAILED"
  assert "queueing" not in log.read_text()
