"""The launching program, on a machine of fakes, used and misused."""

import json
import signal
import subprocess
import sys

import pytest

from tests.fakes import STOPS, Machine
from tests.programs import ROOT, finish

RUN = f"--run={ROOT / 'configs/launch_v5e.py'}"
TWO_HOSTS = ["--run.topology=v5p:2x2x2", "--run.hosts=('a','b')", "--run.directory=code"]
PROGRAMS = {"xpk": "xpk", "queued": "gcloud", "slurm": "sbatch", "ssh": "ssh"}
CHANGES = {"ssh": TWO_HOSTS, "slurm": ["--run.directory=code"]}


@pytest.fixture
def machine(tmp_path):
  return Machine(tmp_path / "machine")


def launch(machine, *arguments):
  return finish("launch", *arguments, **machine.environment)


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_run_is_shown_and_then_submitted_as_shown(machine, client, tmp_path):
  out = tmp_path / "out"
  arguments = [RUN, f"--client={client}", f"--out={out}", *CHANGES.get(client, [])]
  code, shown, err = launch(machine, *arguments, "--dry_run")
  assert code == 0, err
  assert not out.exists()
  said = json.loads(shown.splitlines()[-1])
  assert said["submitted"] is False and said["client"] == client
  assert said["processes"] == (2 if client == "ssh" else 64)
  assert len(said["commands"]) == (2 if client == "ssh" else 1)

  machine.fake(PROGRAMS[client], "echo from the client")
  code, done, err = launch(machine, *arguments)
  assert code == 0, err
  assert "from the client" in done
  result = json.loads(done.splitlines()[-1])
  assert result.pop("script") == str(out / f"digits-{client}.sh")
  assert result == {**said, "submitted": True}
  assert len(machine.calls(PROGRAMS[client])) == len(said["commands"])
  for path in out.iterdir():
    assert path.read_text() in shown
  assert f"training.processes={said['processes']}" in "".join(path.read_text() for path in out.iterdir())


@pytest.mark.parametrize("client", PROGRAMS)
def test_without_the_client_nothing_is_written(machine, client, tmp_path):
  changes = CHANGES.get(client, [])
  code, out, err = launch(machine, RUN, f"--client={client}", f"--out={tmp_path / 'out'}", *changes)
  assert code == 2 and not out
  assert err.startswith(f"error: {PROGRAMS[client]} is not installed") and err.count("\n") == 1
  assert not (tmp_path / "out").exists()


def test_the_clients_exit_code_is_passed_on(machine, tmp_path):
  machine.fake("xpk", "echo no such cluster >&2; exit 3")
  code, out, err = launch(machine, RUN, "--client=xpk", f"--out={tmp_path}")
  assert code == 3 and not out
  assert err.splitlines() == [
    "no such cluster",
    f"error: xpk failed with exit code 3 ({tmp_path}/digits-xpk.sh).",
  ]


def test_told_to_stop_it_stops_what_it_started(machine, tmp_path):
  machine.fake("ssh", STOPS.format(code=143))
  command = [sys.executable, "-m", "experiments.launch", RUN, "--client=ssh", f"--out={tmp_path}", *TWO_HOSTS]
  process = subprocess.Popen(
    command, cwd=ROOT, env=machine.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  machine.await_stops(2)
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=30)
  assert process.returncode == 143 and out.count("told") == 2 and "ssh failed with exit code 143" in err


def test_overrides_of_the_command_line_reach_the_client(machine):
  changes = ["--run.job=other", "--run.slices=2", "--run.overrides=('senses=(\"sight\",)',)"]
  code, out, err = launch(machine, RUN, "--client=xpk", "--dry_run", *changes)
  assert code == 0, err
  command = json.loads(out.splitlines()[-1])["commands"][0]
  assert "--workload=other" in command and "--num-slices=2" in command and "training.processes=128" in command
  assert 'senses=("sight",)' in command and "mesh.fsdp" not in command


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--client=xpk"], "run"),
    ([RUN], "client"),
    ([RUN, "--client=pbs"], "xpk|queued|slurm|ssh"),
    (["--run=nowhere.py", "--client=xpk"], "does not exist"),
    ([RUN, "--client=xpk", "--run.slcies=2"], "did you mean 'slices'"),
    (["--run={typo}", "--client=xpk"], "unknown config key run.slcies: did you mean 'slices'"),
    (["--run={short}", "--client=xpk"], "run.topology is missing"),
    ([RUN, "--client=xpk", "--run.job=My_Job"], "run.job='My_Job'"),
    ([RUN, "--client=ssh"], "ssh needs run.hosts and run.directory"),
    ([RUN, "--client=xpk", "--out={typo}/x"], "cannot write"),
    ([RUN, "--client=xpk", "more"], "unexpected argument 'more'"),
  ],
)
def test_misuse_is_one_line(machine, tmp_path, arguments, words):
  machine.fake("xpk", "exit 0")
  places = {"typo": tmp_path / "typo.py", "short": tmp_path / "short.py"}
  keys = "job='a', config='b', workdir='gs://c'"
  for name, more in (("typo", ", topology='v5e:4x4', slcies=2"), ("short", "")):
    text = f"from ml_collections import ConfigDict\ndef get_config(): return ConfigDict(dict({keys}{more}))\n"
    places[name].write_text(text)
  code, out, err = launch(machine, *(argument.format(**places) for argument in arguments))
  assert code == 2 and not out and err.count("\n") == 1 and words in err, err
  assert not machine.calls("xpk")


def test_help_says_how(machine):
  code, out, _ = launch(machine, "--help")
  assert "--client" in out and "--run=configs/launch_v5e.py" in out and code in (0, 1)
