"""A queued resource of Cloud TPU, by gcloud."""

import re
import shlex

from stale_jax.errors import UserError
from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch, check_outlives, training_command
from stale_jax.launching.shell import preamble
from stale_jax.launching.topology import GENERATIONS, Topology


def queued(run: Run) -> Launch:
  """A queued resource of Cloud TPU, each host of which trains as soon as it has started.

  https://cloud.google.com/sdk/gcloud/reference/compute/tpus/queued-resources/create and
  https://docs.cloud.google.com/tpu/docs/run-in-container. Each host restarts its own process; when one dies,
  JAX's heartbeat ends the others within two minutes. The script also runs whenever a host boots. A spot slice
  that is taken away is gone, though, and is asked for again by hand.

  Raises:
    UserError: a generation that has no queued resources, and the like.
  """
  run.need("queued", "image", "project", "zone")
  check_outlives("queued", run)
  topology = Topology.parse(run.topology)
  runtime = GENERATIONS[topology.generation].runtime
  if runtime is None:
    raise UserError(f"run.topology={run.topology!r}: there are no queued resources of it; take xpk.")
  processes = topology.hosts(kubernetes=False) * run.slices

  # The machines' own service account may read the image, once docker knows how to ask.
  registry = run.image.split("/")[0]
  known = f"gcloud auth configure-docker --quiet {shlex.quote(registry)}\n"
  container = ["docker", "run", "--rm", "--privileged", "--net=host", run.image]
  container += training_command(run, processes, "python")
  startup = preamble(run.restarts)
  startup += known if re.fullmatch(r"(.*\.)?gcr\.io|.*\.pkg\.dev", registry) else ""
  startup += f"restarting {shlex.join(container)}\n"

  command = ["gcloud"] + (["alpha"] if run.reservation else [])  # Only there does a reservation have a name.
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
