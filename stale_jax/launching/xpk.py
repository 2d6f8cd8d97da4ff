"""A workload of a Kubernetes cluster, by xpk."""

import shlex

from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch, check_outlives, training_command
from stale_jax.launching.shell import attended
from stale_jax.launching.topology import Topology


def xpk(run: Run) -> Launch:
  """A workload of a Kubernetes cluster (https://github.com/AI-Hypercomputer/xpk, src/xpk/parser/workload.py).

  All hosts are restarted together, by JobSet; up to `run.restarts` times (xpk's own default is 0), and after
  any failure but exit code 2 (by itself xpk restarts only after 42 and 127 to 255, which leaves out Python's
  1). It needs an xpk of March 2026 or later for tpu7x.
  """
  run.need("xpk", "image", "project", "zone", "cluster")
  check_outlives("xpk", run)
  topology = Topology.parse(run.topology)
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
    # Kubernetes puts variables' values for $(NAME), and $ for $$, before the shell sees any of it.
    f"--command={training.replace('$', '$$')}",
  ]
  if topology.generation == "tpu7x":
    command.append("--no-use-parallel-containers")  # Else two processes a host.
  if run.spot:
    command.append("--spot")
  if run.reservation:
    command.append(f"--reservation={run.reservation}")
  line = shlex.join(command)
  script = f"{run.job}-xpk.sh"
  files = {script: f"#!/bin/bash\nexec {line}\n"}
  return Launch(program="xpk", script=script, files=files, commands=[line], processes=processes)
