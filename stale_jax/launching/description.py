"""The description of a run on several hosts, the same for every client."""

import dataclasses
import re

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.launching.topology import Topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """One training run on several hosts.

  A field that is an empty string or tuple is unset; each client checks that the fields it needs are set.

  Attributes:
    job: name of the Kubernetes workload, of the TPU, or of the Slurm job.
    config: config file, the value of --config of experiments.train.
    workdir: folder of the run, the same for every host: gs://BUCKET/FOLDER, or a folder that all hosts share.
    topology: topology of one slice: v5e:16x16, v5p:4x4x4, v6e:8x8, tpu7x:4x4x4; or the GPUs of one machine:
      a100:8, h100:8, h200:8, l4:8.
    slices: number of slices, or of machines with GPUs, connected by the data centre network.
    overrides: overrides of the config, each "key=value" as on the command line, without `--config.`.
    restarts: maximum number of restarts after failures.
    image: container image with this repository installed, as its working directory (xpk, queued).
    project, zone: project and zone of Google Cloud (xpk, queued).
    cluster: Kubernetes cluster (xpk).
    spot: whether to use spot machines, which are cheaper and can be taken away (xpk, queued).
    reservation: name of the reservation that contains the machines (xpk, queued).
    hosts: host names, by which the hosts also reach each other, in the order of TPU workers (ssh).
    directory: folder of this repository on each host, with its .venv; absolute, or relative to home (ssh,
      slurm).
    partition, account: partition and account of Slurm; empty for the cluster's defaults (slurm).
    hours: time limit of a job; 300 seconds before, it is saved and queued again. 0 for the limit of the
      partition (slurm).
  """

  job: str
  config: str
  workdir: str
  topology: str
  slices: int = number(1, least=1, most=1 << 16)
  overrides: tuple[str, ...] = ()
  restarts: int = number(50, least=0)
  image: str = ""
  project: str = ""
  zone: str = ""
  cluster: str = ""
  spot: bool = False
  reservation: str = ""
  hosts: tuple[str, ...] = ()
  directory: str = ""
  partition: str = ""
  account: str = ""
  hours: float = number(0.0, least=0, most=8760)

  def __post_init__(self):
    check_fields(self, "run")
    for name, value in vars(self).items():
      if not all(map(_is_line, value if isinstance(value, tuple) else [value])):
        raise UserError(f"run.{name}={value!r}: give one line of text.")
    for name, value in (("config", self.config), ("workdir", self.workdir)):
      if not value:
        raise UserError(f"run.{name} is empty: give a value.")
    # Valid for all clients: xpk allows 40 characters, and gcloud appends a number to the name of a TPU.
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", self.job):
      raise UserError(
        f"run.job={self.job!r}: give up to 40 lower-case letters, digits and hyphens; the first must be a "
        "letter, and the last must not be a hyphen."
      )
    for text in self.overrides:
      if not re.match(r"\w+(\.\w+)*=", text):
        raise UserError(f"run.overrides: {text!r} is not of the form key=value, as in model.depth=8.")
    for host in self.hosts:
      # Rejects options of ssh, and several words.
      if not re.fullmatch(r"(\w[\w.-]*@)?\w[\w.-]*", host):
        raise UserError(f"run.hosts: {host!r} is not a host.")
    if self.zone and not re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-z]", self.zone):
      raise UserError(f"run.zone={self.zone!r} is not a zone of Google Cloud, such as us-west4-a.")
    for name in ("partition", "account"):
      if not re.fullmatch(r"[\w.-]*", vars(self)[name]):
        raise UserError(f"run.{name}={vars(self)[name]!r} is not a name in Slurm.")
    if self.directory.startswith("~"):
      raise UserError(f"run.directory={self.directory!r}: leave out the ~; the path is relative to home.")
    if self.spot and self.reservation:
      raise UserError("run.spot and run.reservation exclude each other: give one.")
    Topology.parse(self.topology)

  def need(self, client: str, *names: str) -> None:
    """Raises UserError unless all of `names` are set."""
    if missing := [f"run.{name}" for name in names if not vars(self)[name]]:
      raise UserError(f"{client} needs {' and '.join(missing)}.")


def _is_line(value) -> bool:
  """Whether a value is one line; a newline would end the shell command that contains it."""
  return not re.search(r"[\x00-\x1f\x7f]", str(value))
