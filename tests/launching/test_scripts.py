"""The scripts, run by a real shell on a machine of fakes."""

import signal

import pytest

from stale_jax.launching import CLIENTS, Run
from stale_jax.launching.xla_flags import libtpu_init_args
from tests.fakes import STOPS, Machine

# What a shell, a config or Kubernetes might make something of.
OVERRIDES = (
  "senses=('sight', 'sound')",
  'caption=a "red" seven\'s way',
  "note=$HOME `x` $(NAME) $$ \\ !x; exit 3 # {a} * > & |",
)
DESCRIPTION = {
  "job": "digits",
  "config": "configs/my config.py:a'b",
  "workdir": "gs://bucket/my digits",
  "topology": "v5p:2x2x2",  # Two hosts.
  "overrides": OVERRIDES,
  "image": "us-docker.pkg.dev/project/images/stale:1",
  "project": "project",
  "zone": "us-west4-a",
  "cluster": "cluster",
  "hosts": ("me@first", "second"),
  "directory": "my code",
}


def training(processes):
  """The arguments of Python on every host."""
  overrides = [f"--config.{text}" for text in (*OVERRIDES, f"training.processes={processes}")]
  return [
    "-m",
    "experiments.train",
    "--config=configs/my config.py:a'b",
    "--workdir=gs://bucket/my digits",
    *overrides,
  ]


@pytest.fixture
def machine(tmp_path):
  return Machine(tmp_path / "machine")


def write(machine, client, **changes):
  """Writes the scripts; returns the path of the one to be run."""
  launch = CLIENTS[client](Run(**{**DESCRIPTION, **changes}))
  for name, text in launch.files.items():
    (machine.folder / name).write_text(text)
  return str(machine.folder / launch.script)


# Records the environment as well.
PYTHON = 'printf "%s\\n" "$LIBTPU_INIT_ARGS" "${JAX_COORDINATOR_ADDRESS:-}" "${JAX_NUM_PROCESSES:-}" \
"${JAX_PROCESS_ID:-}" > "$HOME/environment.${JAX_PROCESS_ID:-0}"'


def test_ssh_runs_the_command_on_every_host_word_by_word(machine):
  # As sshd does: the login shell of the host is given one string.
  machine.fake("ssh", 'cd "$HOME"; exec sh -c "${!#}"')
  machine.fake("python", PYTHON)
  (machine.folder / "my code/.venv/bin").mkdir(parents=True)
  (machine.folder / "my code/.venv/bin/python").symlink_to(machine.bin / "python")
  code, _, err = machine.run("bash", write(machine, "ssh"))
  assert code == 0, err
  assert machine.calls("python") == 2 * [training(processes=2)]
  assert sorted(call[-2] for call in machine.calls("ssh")) == ["me@first", "second"]
  for process in (0, 1):
    found = (machine.folder / f"environment.{process}").read_text().splitlines()
    assert found == [libtpu_init_args("v5p"), "first:8482", "2", str(process)]


def test_ssh_restarts_until_it_succeeds(machine):
  machine.fake("ssh", "((n >= 4)) || exit 1")
  code, _, err = machine.run("bash", write(machine, "ssh"))
  assert code == 0
  assert len(machine.calls("ssh")) == 6  # Four failures and two successes.
  assert err.count("exit code 1: restart ") == 4 and machine.calls("sleep") == 4 * [["10"]]


def test_ssh_restarts_no_more_than_it_may(machine):
  machine.fake("ssh", '[ "${@: -2:1}" = second ] || exit 7')
  code, _, _ = machine.run("bash", write(machine, "ssh", restarts=2))
  assert code == 7
  assert [call[-2] for call in machine.calls("ssh")].count("me@first") == 3


def test_a_users_error_is_not_restarted_and_stops_the_others(machine):
  both = "until [ -e calls/ssh.1 ]; do :; done"
  machine.fake("ssh", f'if [ "${{@: -2:1}}" = me@first ]; then {both}; exit 2; fi; {STOPS.format(code=143)}')
  code, _, _ = machine.run("bash", write(machine, "ssh"))
  assert code == 2
  assert len(machine.calls("ssh")) == 2


def test_told_to_stop_it_stops_every_host_and_restarts_none(machine):
  machine.fake("ssh", STOPS.format(code=143))
  process = machine.start("bash", write(machine, "ssh"))
  machine.await_stops(2)
  process.send_signal(signal.SIGTERM)
  out, _ = process.communicate(timeout=30)
  assert process.returncode == 143 and out.count("told") == 2
  assert len(machine.calls("ssh")) == 2


def test_xpk_is_told_what_to_run(machine):
  machine.fake("xpk", "exit 0")
  code, _, err = machine.run("bash", write(machine, "xpk", slices=3, restarts=7, spot=True))
  assert code == 0, err
  [call] = machine.calls("xpk")
  command = call.pop(call.index(next(word for word in call if word.startswith("--command="))))
  assert call == [
    "workload",
    "create",
    "--workload=digits",
    "--cluster=cluster",
    "--project=project",
    "--zone=us-west4-a",
    "--tpu-type=v5p-2x2x2",
    "--num-slices=3",
    "--docker-image=us-docker.pkg.dev/project/images/stale:1",
    "--max-restarts=7",
    "--restart-on-exit-codes=1,3-126",
    "--termination-grace-period-seconds=300",
    "--spot",
  ]
  machine.fake("python", PYTHON)
  code, _, err = machine.run("bash", "-c", container(command))
  assert code == 0, err
  assert machine.calls("python") == [training(processes=6)]
  assert (machine.folder / "environment.0").read_text().splitlines() == [libtpu_init_args("v5p"), "", "", ""]


def container(command):
  """What a container of xpk does with its --command (xpk/core/docker_container.py), Kubernetes before it."""
  text = command.removeprefix("--command=").replace("$$", "$")
  assert "\n" not in text  # It stands in a line of YAML.
  waits = "while kill -0 $pid 2>/dev/null; do wait $pid; done; wait $pid"
  return f"trap 'kill -TERM $!' TERM; ({text}) & pid=$!; {waits}"


@pytest.mark.parametrize("code", [0, 1, 2, 42])
def test_a_container_of_xpk_says_what_training_said(machine, code):
  machine.fake("xpk", "")
  machine.fake("python", f"exit {code}")
  machine.run("bash", write(machine, "xpk"))
  assert machine.run("bash", "-c", container(machine.calls("xpk")[0][-1]))[0] == code


def test_a_container_of_xpk_that_is_evicted_has_saved_but_is_not_done(machine):
  machine.fake("xpk", "")
  machine.fake("python", STOPS.format(code=0))
  machine.run("bash", write(machine, "xpk"))
  process = machine.start("bash", "-c", container(machine.calls("xpk")[0][-1]))
  machine.await_stops(1)
  process.send_signal(signal.SIGTERM)
  out, _ = process.communicate(timeout=30)
  assert process.returncode == 143 and "told" in out


def test_xpk_runs_one_process_a_host_of_the_seventh_generation(machine):
  launch = CLIENTS["xpk"](Run(**{**DESCRIPTION, "topology": "tpu7x:4x4x4", "reservation": "mine"}))
  assert launch.processes == 16
  assert launch.commands[0].endswith(" --no-use-parallel-containers --reservation=mine")


def test_queued_resources_are_asked_for_and_their_hosts_train(machine):
  machine.fake("gcloud", "exit 0")
  code, _, err = machine.run("bash", write(machine, "queued", slices=2, restarts=3))
  assert code == 0, err
  assert machine.calls("gcloud") == [
    [
      "compute",
      "tpus",
      "queued-resources",
      "create",
      "digits",
      "--project=project",
      "--zone=us-west4-a",
      "--accelerator-type=v5p-16",
      "--runtime-version=v2-alpha-tpuv5",
      "--metadata-from-file=startup-script=digits-startup.sh",
      "--node-prefix=digits",
      "--node-count=2",
    ]
  ]
  # The host: fails twice, and then runs the container's command.
  machine.fake("docker", '((n >= 2)) || exit 1; exec "${@:6}"')
  machine.fake("python", PYTHON)
  code, _, err = machine.run("bash", str(machine.folder / "digits-startup.sh"))
  assert code == 0, err
  assert machine.calls("gcloud")[1] == ["auth", "configure-docker", "--quiet", "us-docker.pkg.dev"]
  assert len(machine.calls("docker")) == 3
  image = "us-docker.pkg.dev/project/images/stale:1"
  assert machine.calls("docker")[2][:5] == ["run", "--rm", "--privileged", "--net=host", image]
  assert machine.calls("python") == [training(processes=4)]
  assert (machine.folder / "environment.0").read_text().splitlines()[0] == libtpu_init_args("v5p")


@pytest.mark.parametrize(("does", "restarts", "code", "calls"), [("exit 2", 5, 2, 1), ("exit 9", 2, 9, 3)])
def test_a_queued_host_gives_up(machine, does, restarts, code, calls):
  machine.fake("gcloud", "")
  machine.fake("docker", does)
  write(machine, "queued", restarts=restarts)
  assert machine.run("bash", str(machine.folder / "digits-startup.sh"))[0] == code
  assert len(machine.calls("docker")) == calls


def test_a_reservation_has_a_name_only_for_gclouds_alpha():
  launch = CLIENTS["queued"](Run(**{**DESCRIPTION, "reservation": "mine"}))
  assert launch.commands[0].startswith("gcloud alpha compute tpus queued-resources create digits ")
  assert launch.commands[0].endswith(" --node-id=digits --reservation=mine")
