"""The result of every client, and the training command that each host runs."""

import dataclasses
from collections.abc import Mapping, Sequence

from stale_jax.errors import UserError
from stale_jax.launching.description import Run
from stale_jax.launching.topology import Topology
from stale_jax.launching.xla_flags import libtpu_init_args


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
  """The scripts and commands that start a run.

  Attributes:
    program: program that must be installed.
    script: name of the file in `files` to run; its working directory must be the folder of the files.
    files: file name -> content.
    commands: the shell commands of `program` in the script.
    processes: number of JAX processes, one per host.
  """

  program: str
  script: str
  files: Mapping[str, str]
  commands: Sequence[str]
  processes: int


def training_command(run: Run, processes: int, python: str, *environment: str) -> list[str]:
  """The command that trains on each host, as a list of arguments; `environment` has entries "NAME=value".

  The command sets `training.processes`, so that a run in which a host is missing fails instead of training on
  fewer devices.
  """
  topology = Topology.parse(run.topology)
  flags = [] if topology.is_gpu else [f"LIBTPU_INIT_ARGS={libtpu_init_args(topology.generation)}"]
  program = [python, "-m", "experiments.train", f"--config={run.config}", f"--workdir={run.workdir}"]
  overrides = [f"--config.{text}" for text in (*run.overrides, f"training.processes={processes}")]
  return ["env", *environment, *flags, *program, *overrides]


def check_outlives(client: str, run: Run) -> None:
  """Raises UserError if the folder of the run would be lost with the machines."""
  if "://" not in run.workdir:
    raise UserError(
      f"run.workdir={run.workdir!r}: with {client} it must outlive the machines; give gs://BUCKET/FOLDER."
    )
