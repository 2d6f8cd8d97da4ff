"""What every client makes of a description, and what they share: the command that each host runs."""

import dataclasses
from collections.abc import Mapping, Sequence

from stale_jax.errors import UserError
from stale_jax.launching.description import Run
from stale_jax.launching.topology import Topology
from stale_jax.launching.xla_flags import libtpu_init_args


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
  """What submits a run.

  Attributes:
    program: that must be installed.
    script: which of `files` is run, in their folder.
    files: name -> text.
    commands: of the program, as the script runs them: a line each, for a shell.
    processes: JAX processes of the run, one a host.
  """

  program: str
  script: str
  files: Mapping[str, str]
  commands: Sequence[str]
  processes: int


def training_command(run: Run, processes: int, python: str, *environment: str) -> list[str]:
  """What every host runs, as arguments; `environment` is "NAME=value".

  It asserts the number of processes: a run that lacks a host must not go on as a smaller one.
  """
  flags = libtpu_init_args(Topology.parse(run.topology).generation)
  program = [python, "-m", "experiments.train", f"--config={run.config}", f"--workdir={run.workdir}"]
  overrides = [f"--config.{text}" for text in (*run.overrides, f"training.processes={processes}")]
  return ["env", *environment, f"LIBTPU_INIT_ARGS={flags}", *program, *overrides]


def check_outlives(client: str, run: Run) -> None:
  """Raises UserError if the run's folder is lost with its machines."""
  if "://" not in run.workdir:
    raise UserError(
      f"run.workdir={run.workdir!r}: with {client} it must outlive its machines, as gs://BUCKET/FOLDER does."
    )
