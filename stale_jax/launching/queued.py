"""The launch client "queued": trains on a queued resource of Cloud TPU, which gcloud creates."""

import re
import shlex

from stale_jax.errors import UserError
from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch, check_outlives, training_command
from stale_jax.launching.shell import preamble
from stale_jax.launching.topology import GENERATIONS, Topology


def queued(run: Run) -> Launch:
  """Builds a script that requests a queued resource of Cloud TPU, and the startup script of its hosts.

  Each host trains as soon as it has booted, and restarts its own process. When one process dies, the
  heartbeats of `stale_jax.hosts` end the others, by default within two minutes. The startup script also runs
  whenever a host reboots. A spot slice that has been taken away must be requested again by hand.

  References: https://cloud.google.com/sdk/gcloud/reference/compute/tpus/queued-resources/create and
  https://docs.cloud.google.com/tpu/docs/run-in-container.

  Raises:
    UserError: the generation has no queued resources, or a field of the description is missing or invalid.
  """
  run.need("queued", "image", "project", "zone")
  check_outlives("queued", run)
  topology = Topology.parse(run.topology)
  topology.need_tpu("queued")
  runtime = GENERATIONS[topology.generation].runtime
  if runtime is None:
    raise UserError(
      f"run.topology={run.topology!r}: Cloud TPU has no queued resources of this generation; use xpk."
    )
  processes = topology.hosts(kubernetes=False) * run.slices

  # Let docker authenticate with the service account of the machine.
  registry = run.image.split("/")[0]
  known = f"gcloud auth configure-docker --quiet {shlex.quote(registry)}\n"
  container = ["docker", "run", "--rm", "--privileged", "--net=host", run.image]
  container += training_command(run, processes, "python")
  startup = preamble(run.restarts)
  startup += known if re.fullmatch(r"(.*\.)?gcr\.io|.*\.pkg\.dev", registry) else ""
  startup += f"restarting {shlex.join(container)}\n"

  command = ["gcloud"] + (["alpha"] if run.reservation else [])  # Only alpha takes a reservation.
  command += [
    "compute",
    "tpus",
    "queued-resources",
    "create",
    run.job,
    f"--project={run.project}",
    f"--zone={run.zone}",
    f"--accelerator-type={topology.accelerator_type()}",
    f"--runtime-version={runtime}",
    f"--metadata-from-file=startup-script={run.job}-startup.sh",  # gcloud splits at commas; a job has none.
  ]
  if run.slices > 1:
    command += [f"--node-prefix={run.job}", f"--node-count={run.slices}"]
  else:
    command.append(f"--node-id={run.job}")
  if run.spot:
    command.append("--spot")
  if run.reservation:
    command.append(f"--reservation={run.reservation}")
  line = shlex.join(command)
  script = f"{run.job}-queued.sh"
  files = {
    script: f'#!/bin/bash\ncd "$(dirname "$0")" || exit\nexec {line}\n',
    f"{run.job}-startup.sh": startup,
  }
  return Launch(program="gcloud", script=script, files=files, commands=[line], processes=processes)
