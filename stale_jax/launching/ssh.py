"""The launch client "ssh": runs the training command on each host over ssh."""

import shlex

from stale_jax.errors import UserError
from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch, training_command
from stale_jax.launching.shell import preamble, together
from stale_jax.launching.topology import Topology

PORT = (
  8482  # Port of the coordinator: the one that JAX uses on TPUs (jax/_src/clusters/cloud_tpu_cluster.py).
)


def ssh(run: Run) -> Launch:
  """Builds a script that runs and restarts the training command on each host over ssh.

  The script runs on this machine, which must stay up. The processes find each other through
  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; the first host is the coordinator, on port
  8482. The process of a host ends when its connection is lost (`-tt`); after the restart it continues from
  the last checkpoint.

  Raises:
    UserError: a field of the description is missing, or the number of hosts does not fit the topology.
  """
  run.need("ssh", "hosts", "directory")
  processes = Topology.parse(run.topology).hosts(kubernetes=False) * run.slices
  if len(run.hosts) != processes:
    raise UserError(
      f"run.hosts lists {len(run.hosts)} hosts; {run.slices} x {run.topology} has {processes}: list each "
      "host once."
    )
  coordinator = run.hosts[0].split("@")[-1]
  commands = []
  for process, host in enumerate(run.hosts):
    places = [
      f"JAX_COORDINATOR_ADDRESS={coordinator}:{PORT}",
      f"JAX_NUM_PROCESSES={processes}",
      f"JAX_PROCESS_ID={process}",
    ]
    training = training_command(run, processes, ".venv/bin/python", *places)
    remote = f"cd -- {shlex.quote(run.directory)} && exec {shlex.join(training)}"
    # Never ask for a password; notice a lost connection within a minute and a half.
    options = ["-tt", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=30"]
    commands.append(shlex.join(["ssh", *options, host, remote]))
  script = f"{run.job}-ssh.sh"
  files = {script: preamble(run.restarts) + together(commands)}
  return Launch(program="ssh", script=script, files=files, commands=commands, processes=processes)
