"""Slices of TPUs and machines of GPUs: chips, hosts, and the name of a slice for each client.

A topology is written "v5e:16x16", a slice of TPUs, or "h100:8", a machine with 8 GPUs, which counts as a
slice. A host is a virtual machine that runs one JAX process. It has 4 chips, or all chips of a smaller slice;
only 2x4 of v5e and v6e is one machine with 8 chips, but two machines with 4 chips in Kubernetes.
Sources: https://docs.cloud.google.com/tpu/docs/v5e, /v5p, /v6e and /tpu7x,
https://docs.cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus, and for xpk's machine types
https://github.com/AI-Hypercomputer/xpk/blob/main/src/xpk/core/system_characteristics.py.
"""

import dataclasses
import math
import re

from stale_jax.construct import nearest
from stale_jax.errors import UserError

CHIPS_PER_HOST = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation:
  """Properties of a TPU generation.

  Attributes:
    prefix: name in xpk and gcloud.
    cores: TensorCores per chip; gcloud counts in TensorCores.
    shapes: available shapes. A generation with three axes also has larger shapes (`_is_cubes`); listed are
      the shapes that gcloud gives for each number of chips.
    runtime: TPU software version (https://docs.cloud.google.com/tpu/docs/runtimes); None without queued
      resources (https://docs.cloud.google.com/tpu/docs/queued-resources; use GKE instead).
  """

  prefix: str
  cores: int
  shapes: tuple[str, ...]
  runtime: str | None


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SMALL = (
  "2x2x1",
  "2x2x2",
  "2x2x4",
  "2x4x4",
)  # Smaller than a cube of 4x4x4; in larger slices, axes are multiples of 4.
_CUBES = ("4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16", "16x16x16", "16x16x24")

GENERATIONS = {
  "v5e": Generation(prefix="v5litepod", cores=1, shapes=_FLAT, runtime="v2-alpha-tpuv5-lite"),
  "v5p": Generation(prefix="v5p", cores=2, shapes=_SMALL + _CUBES, runtime="v2-alpha-tpuv5"),
  "v6e": Generation(prefix="v6e", cores=1, shapes=_FLAT, runtime="v2-alpha-tpuv6e"),
  "tpu7x": Generation(prefix="tpu7x", cores=2, shapes=("1x1x1", *_SMALL, *_CUBES), runtime=None),
}

GPUS = ("a100", "h100", "h200", "l4")
GPUS_PER_HOST = 8


def shapes_of(name: str) -> tuple[str, ...]:
  """Available shapes of a key of GENERATIONS or an element of GPUS."""
  return ("8", "4", "2", "1") if name in GPUS else GENERATIONS[name].shapes


@dataclasses.dataclass(frozen=True)
class Topology:
  """One slice of a TPU pod, or one machine with GPUs.

  Attributes:
    generation: a key of GENERATIONS or an element of GPUS.
    shape: number of chips along each axis, for example "4x4x8"; for GPUs the number in a machine.
  """

  generation: str
  shape: str

  @classmethod
  def parse(cls, text: str) -> "Topology":
    """Parses a topology such as "v5e:16x16" or "h100:8"; raises UserError if there is no such slice."""
    generation, _, shape = text.partition(":")
    if generation not in (*GENERATIONS, *GPUS):
      raise UserError(
        f"run.topology={text!r}: unknown generation: {nearest(generation, (*GENERATIONS, *GPUS))}"
      )
    shapes = shapes_of(generation)
    if shape not in shapes and not (shapes[-1].count("x") == 2 and _is_cubes(shape)):
      raise UserError(f"run.topology={text!r}: no such shape: {nearest(shape, shapes)}")
    return cls(generation, shape)

  @property
  def is_gpu(self) -> bool:
    """Whether the chips are GPUs."""
    return self.generation in GPUS

  def need_tpu(self, client: str) -> None:
    """Raises UserError if the chips are GPUs, which `client` does not start."""
    if self.is_gpu:
      raise UserError(
        f"run.topology={self.generation}:{self.shape}: {client} starts TPUs; use slurm or ssh for GPUs."
      )

  @property
  def chips(self) -> int:
    return math.prod(map(int, self.shape.split("x")))

  def hosts(self, kubernetes: bool) -> int:
    """Number of machines, which is the number of JAX processes."""
    if self.is_gpu or (self.shape == "2x4" and not kubernetes):
      return 1
    return max(1, self.chips // CHIPS_PER_HOST)

  def xpk_type(self) -> str:
    """The value of --tpu-type of xpk, which contains the shape."""
    return f"{GENERATIONS[self.generation].prefix}-{self.shape}"

  def accelerator_type(self) -> str:
    """The value of --accelerator-type of gcloud, which counts TensorCores.

    Raises:
      UserError: for this number of chips, gcloud gives another shape or has no slice.
    """
    generation = GENERATIONS[self.generation]
    if self.shape not in generation.shapes:
      same = [shape for shape in generation.shapes if Topology(self.generation, shape).chips == self.chips]
      given = f"gives {same[0]} for {self.chips} chips" if same else f"has no slice of {self.chips} chips"
      raise UserError(f"run.topology={self.generation}:{self.shape}: gcloud {given}; xpk takes any shape.")
    return f"{generation.prefix}-{self.chips * generation.cores}"


def _is_cubes(shape: str) -> bool:
  """Whether `shape` has three axes in ascending order, each a multiple of 4."""
  if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", shape):
    return False
  axes = [int(axis) for axis in shape.split("x")]
  return axes == sorted(axes) and all(axis % 4 == 0 for axis in axes)
