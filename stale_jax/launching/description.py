"""What a run on many hosts is, whoever starts it."""

import dataclasses
import re

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.launching.topology import Topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """One training run. A text that is empty is not given; each client says which it needs.

  Attributes:
    job: its name, among Kubernetes' workloads and Cloud's TPUs.
    config: file of the training config, as for experiments.train.
    workdir: folder of the run, the same for every host: gs://BUCKET/FOLDER.
    topology: of one slice: v5e:16x16, v5p:4x4x4, v6e:8x8, tpu7x:4x4x4.
    slices: how many, joined by the data centre's network.
    overrides: of the training config, each "key=value" as on the command line, without `--config.`.
    restarts: how often training is started again after it has failed.
    image: container that holds this repository, installed, as its working directory (xpk, queued).
    project, zone: of Google Cloud (xpk, queued).
    cluster: of Kubernetes (xpk).
    spot: cheaper machines that may be taken away (xpk, queued).
    reservation: name of the reservation that the machines are from (xpk, queued).
    hosts: names by which the hosts reach one another, the order that of TPU worker numbers (ssh).
    directory: folder of this repository on each host, with its .venv, absolute or from home (ssh).
  """

  job: str
  config: str
  workdir: str
  topology: str
  slices: int = number(1, least=1)
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

  def __post_init__(self):
    check_fields(self, "run")
    for name, value in vars(self).items():
      if not all(map(_is_line, value if isinstance(value, tuple) else [value])):
        raise UserError(f"run.{name}={value!r}: a line of text is needed.")
    for name, value in (("config", self.config), ("workdir", self.workdir)):
      if not value:
        raise UserError(f"run.{name} is empty.")
    # Stricter than either, and so valid as both: xpk takes 40 characters, a TPU's name gets a number added.
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", self.job):
      raise UserError(
        f"run.job={self.job!r}: up to 40 lower-case letters, digits and hyphens are needed,"
        " a letter first and no hyphen last."
      )
    for text in self.overrides:
      if not re.match(r"\w+(\.\w+)*=", text):
        raise UserError(f"run.overrides: {text!r} is not of the form key=value, as in model.depth=8.")
    for host in self.hosts:
      # An option of ssh, or two words, would be no host.
      if not re.fullmatch(r"(\w[\w.-]*@)?\w[\w.-]*", host):
        raise UserError(f"run.hosts: {host!r} is not a host.")
    if self.directory.startswith("~"):
      raise UserError(f"run.directory={self.directory!r}: leave out the ~; it starts at home.")
    if self.spot and self.reservation:
      raise UserError("run.spot and run.reservation are two ways to get machines: give one.")
    Topology.parse(self.topology)

  def need(self, client: str, *names: str) -> None:
    """Raises UserError unless all of `names` are given."""
    if missing := [f"run.{name}" for name in names if not vars(self)[name]]:
      raise UserError(f"{client} needs {' and '.join(missing)}.")


def _is_line(value) -> bool:
  """Whether a value is one line: a newline would end the command that it stands in."""
  return not re.search(r"[\x00-\x1f\x7f]", str(value))
