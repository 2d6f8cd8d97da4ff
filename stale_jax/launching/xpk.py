"""The launch client "xpk": trains as a workload of a Kubernetes cluster, which xpk creates."""

import shlex

from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch, check_outlives, training_command
from stale_jax.launching.shell import attended
from stale_jax.launching.topology import Topology

# Seconds that an evicted process has for saving; the default of xpk is 30.
_GRACE = 300


def xpk(run: Run) -> Launch:
  """Builds a script that creates a workload of a Kubernetes cluster.

  JobSet restarts all hosts together, up to `run.restarts` times (the default of xpk is 0), after any failure
  except exit code 2. (By default, xpk restarts only after exit codes 42 and 127 to 255, not after exit code 1
  of a Python exception.) tpu7x needs an xpk of March 2026 or later.

  Reference: https://github.com/AI-Hypercomputer/xpk, src/xpk/parser/workload.py.

  Raises:
    UserError: a field of the description is missing or invalid.
  """
  run.need("xpk", "image", "project", "zone", "cluster")
  check_outlives("xpk", run)
  topology = Topology.parse(run.topology)
  topology.need_tpu("xpk")
  processes = topology.hosts(kubernetes=True) * run.slices
  training = attended(training_command(run, processes, "python"))
  command = [
    "xpk",
    "workload",
    "create",
    f"--workload={run.job}",
    f"--cluster={run.cluster}",
    f"--project={run.project}",
    f"--zone={run.zone}",
    f"--tpu-type={topology.xpk_type()}",
    f"--num-slices={run.slices}",
    f"--docker-image={run.image}",
    f"--max-restarts={run.restarts}",
    "--restart-on-exit-codes=1,3-126",
    f"--termination-grace-period-seconds={_GRACE}",
    # Kubernetes replaces $(NAME) by variables, and $$ by $, before the shell runs.
    f"--command={training.replace('$', '$$')}",
  ]
  if topology.generation == "tpu7x":
    command.append("--no-use-parallel-containers")  # Otherwise there are two processes per host.
  if run.spot:
    command.append("--spot")
  if run.reservation:
    command.append(f"--reservation={run.reservation}")
  line = shlex.join(command)
  script = f"{run.job}-xpk.sh"
  files = {script: f"#!/bin/bash\nexec {line}\n"}
  return Launch(program="xpk", script=script, files=files, commands=[line], processes=processes)
