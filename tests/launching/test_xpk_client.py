"""The command for xpk, taken by the real client, and the container's command of its manifest, in a shell."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from stale_jax.launching import CLIENTS, Run
from stale_jax.launching.topology import Topology
from tests.fakes import STOPS, Machine
from tests.launching.test_scripts import DESCRIPTION, training
from tests.programs import ROOT

_OWN = ROOT / ".xpk/bin/xpk"  # `make .xpk/installed`
XPK = str(_OWN) if _OWN.exists() else shutil.which("xpk")
pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(XPK is None, reason="xpk is not installed: make .xpk/installed"),
]


def manifest(folder: Path, **changes) -> dict:
  """What the client would send to Kubernetes."""
  launch = CLIENTS["xpk"](Run(**{**DESCRIPTION, **changes}))
  path = folder / "manifest.yaml"
  line = launch.commands[0].replace("xpk", XPK, 1)
  dry = f"{line} --dry-run --skip-validation --output-manifest-file={path}"
  done = subprocess.run(["bash", "-c", dry], capture_output=True, text=True, cwd=folder, timeout=120)
  assert done.returncode == 0, done.stdout + done.stderr
  return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
  ("topology", "slices"), [("v5e:16x16", 1), ("v5p:4x4x4", 3), ("v6e:8x8", 2), ("tpu7x:4x4x4", 1)]
)
def test_every_generation_gets_its_hosts_and_restarts(tmp_path, topology, slices):
  spec = manifest(tmp_path, topology=topology, slices=slices, restarts=7)["spec"]
  [job] = spec["replicatedJobs"]
  hosts = Topology.parse(topology).hosts(kubernetes=True)
  assert job["replicas"] == slices and job["template"]["spec"]["parallelism"] == hosts
  assert spec["failurePolicy"]["maxRestarts"] == 7
  [rule] = job["template"]["spec"]["podFailurePolicy"]["rules"]
  # Other exit codes end the job: only success and the user's mistakes.
  restarted = set(rule["onExitCodes"]["values"])
  assert rule["onExitCodes"]["operator"] == "NotIn" and restarted == set(range(256)) - {0, 2}
  pod = job["template"]["spec"]["template"]["spec"]
  shape = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
  assert shape == topology.partition(":")[2]
  [container] = pod["containers"]
  assert container["image"] == DESCRIPTION["image"] and pod["terminationGracePeriodSeconds"] == 300


def container(folder: Path) -> str:
  """The command of the container, after Kubernetes has replaced $$ by $."""
  [job] = manifest(folder)["spec"]["replicatedJobs"]
  [one] = job["template"]["spec"]["template"]["spec"]["containers"]
  *shell, text = one["command"]
  assert shell == ["bash", "-c"]
  return text.replace("$$", "$")


def test_the_container_trains_word_by_word_and_passes_the_exit_code_on(tmp_path):
  text = container(tmp_path)
  for code in (0, 1, 2, 42):
    machine = Machine(tmp_path / f"machine{code}")
    machine.fake("date", "exit 0")
    machine.fake("python", f"exit {code}")
    assert machine.run("bash", "-c", text)[0] == code
    assert machine.calls("python") == [training(processes=2)]


def test_a_container_that_is_evicted_is_not_done(tmp_path):
  machine = Machine(tmp_path / "machine")
  machine.fake("date", "exit 0")
  machine.fake("python", STOPS.format(code=0))
  process = machine.start("bash", "-c", container(tmp_path))
  machine.await_stops(1)
  process.send_signal(signal.SIGTERM)
  out, _ = process.communicate(timeout=30)
  assert process.returncode == 143 and "told" in out
