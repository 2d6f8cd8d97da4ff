"""The launch client "slurm": trains as a job of a Slurm cluster, one process per machine."""

import shlex

from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch, training_command
from stale_jax.launching.shell import ATTEND
from stale_jax.launching.ssh import PORT
from stale_jax.launching.topology import Topology

# Seconds before the end of a job at which it is told to save.
_NOTICE = 300
# `squeue` tells a failure from a job that was cancelled, which must not be queued again.
_SCRIPT = """\
#!/bin/bash
{options}
{attend}
cd && cd -- {directory} || exit 2
export JAX_NUM_PROCESSES={processes}
JAX_COORDINATOR_ADDRESS=$(hostname):{port} # The script runs on the machine of process 0.
export JAX_COORDINATOR_ADDRESS
attend srun --cpu-bind=none bash -c 'JAX_PROCESS_ID=$SLURM_PROCID exec "$@"' training {training}
code=$?
if ((code != 0 && code != 2 && ${{SLURM_RESTART_COUNT:-0}} < {restarts})) &&
  [ "$(squeue --noheader --format=%T --jobs="$SLURM_JOB_ID")" = RUNNING ]; then
  echo "exit code $code: queueing the job again" >&2
  scontrol requeue "$SLURM_JOB_ID" && sleep 60 # Slurm ends the script.
fi
exit "$code"
"""


def slurm(run: Run) -> Launch:
  """Builds a batch script for `sbatch`; `run.slices` machines train with all GPUs of `run.topology`.

  The job is queued again, up to `run.restarts` times, after a failure except exit code 2, and when it is told
  to stop 300 seconds before its time limit; Slurm itself queues it again when a machine fails or the job is
  preempted. It then continues from the last checkpoint. A job that is cancelled saves, and is not queued
  again.

  The folder `run.directory` must be visible on all machines, and so must `run.workdir` if it is not a bucket.
  The output of all attempts is in `run.job`-JOBID.log, in the folder from which the job was submitted.

  Reference: https://slurm.schedmd.com/sbatch.html.

  Raises:
    UserError: a field of the description is missing.
  """
  run.need("slurm", "directory")
  topology = Topology.parse(run.topology)
  processes = topology.hosts(kubernetes=False) * run.slices
  options = [
    f"--job-name={run.job}",
    f"--output={run.job}-%j.log",
    "--open-mode=append",
    f"--nodes={processes}",
    "--ntasks-per-node=1",
    "--exclusive",
    "--requeue",
    f"--signal=B:TERM@{_NOTICE}",
  ]
  if topology.is_gpu:
    options.append(f"--gpus-per-node={topology.chips}")
  options += [f"--{name}={value}" for name in ("partition", "account") if (value := vars(run)[name])]
  if run.hours:
    options.append(f"--time={max(1, round(60 * run.hours))}")
  batch = f"{run.job}.sbatch"
  text = _SCRIPT.format(
    options="\n".join(f"#SBATCH {option}" for option in options),
    attend=ATTEND,
    directory=shlex.quote(run.directory),
    processes=processes,
    port=PORT,
    training=shlex.join(training_command(run, processes, ".venv/bin/python")),
    restarts=run.restarts,
  )
  line = shlex.join(["sbatch", batch])
  script = f"{run.job}-slurm.sh"
  files = {script: f"#!/bin/bash\nexec {line}\n", batch: text}
  return Launch(program="sbatch", script=script, files=files, commands=[line], processes=processes)
