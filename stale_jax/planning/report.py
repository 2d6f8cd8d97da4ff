"""The result of planning a run: memory, operations, times and price."""

import dataclasses
from typing import Any

from stale_jax.planning.chips import Chip
from stale_jax.planning.collectives import Collective
from stale_jax.planning.roofline import Seconds

GIB = 2**30


def _round(value: float, digits: int = 4) -> float:
  return float(f"{value:.{digits}g}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerPlan:
  """One guided evaluation of the network, with the parameters sharded as in training.

  Attributes:
    movies: movies per batch.
    evaluations: evaluations of the network per movie.
    used: bytes of HBM per device.
    seconds: time of one evaluation, by the roofline.
  """

  movies: int
  evaluations: int
  used: float
  seconds: Seconds

  @property
  def seconds_a_movie(self) -> float:
    """Seconds per movie on all devices together."""
    return self.evaluations * self.seconds.step / self.movies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """Memory, operations, time and price of a run. Bytes, operations and seconds are per device and step.

  Attributes:
    topology, slices, chip, chips, devices: the hardware.
    mesh: axis -> size.
    batch, tokens, steps: clips per step, tokens of all senses of a clip, steps of the run.
    parameters: number of parameters of the network.
    memory: content of HBM -> bytes.
    available: bytes of HBM, without the share that the runtime reserves.
    largest: the largest arrays of the program: (bytes, type, operation).
    compiled: whether the compiler found a program that fits; if not, `fits` is False.
    model_flops: operations without recomputation, 3 x forward, from which the MFU is computed.
    hardware_flops: operations including recomputation (remat).
    compiler_flops: operations of the matrix products in the compiled program; attention kernels are opaque,
      so their operations are added by formula.
    hbm: bytes read from and written to HBM.
    collectives: collectives of a step.
    seconds: times, by the roofline.
    price: US dollars per chip and hour; None if unknown.
    warnings: warnings, as sentences.
    compile_seconds: compile time on the planning machine.
    sampler: the plan of the sampler; None if it was not planned.
  """

  topology: str
  slices: int
  chip: Chip
  chips: int
  devices: int
  mesh: dict[str, int]
  batch: int
  tokens: int
  steps: int
  parameters: int
  memory: dict[str, float]
  available: float
  largest: list[tuple[float, str, str]]
  compiled: bool
  model_flops: float
  hardware_flops: float
  compiler_flops: float
  hbm: float
  collectives: list[Collective]
  seconds: Seconds
  price: float | None
  warnings: list[str]
  compile_seconds: float
  sampler: SamplerPlan | None = None

  @property
  def used(self) -> float:
    """Bytes of HBM in use."""
    return sum(self.memory.values())

  @property
  def fits(self) -> bool:
    """Whether the run fits into memory."""
    return self.compiled and self.used <= self.available

  @property
  def mfu(self) -> float:
    """Model FLOPs utilisation at the step time of the roofline."""
    return self.model_flops / self.seconds.step / (self.chip.flops / self.chip.devices)

  @property
  def tokens_per_second(self) -> float:
    """Tokens per second on all devices together."""
    return self.batch * self.tokens / self.seconds.step

  @property
  def chip_hours(self) -> float:
    """Chip-hours of the run."""
    return self.steps * self.seconds.step * self.chips / 3600

  @property
  def dollars(self) -> float | None:
    """Price of the run in US dollars; None if the price of a chip is unknown."""
    return None if self.price is None else self.chip_hours * self.price

  def json(self) -> dict[str, Any]:
    """The plan as plain data. Keys that end in `gib`, `memory` and `largest` are in GiB, rounded."""
    sampler = self.sampler and {
      "fits": self.sampler.used <= self.available,
      "memory_gib": _round(self.sampler.used / GIB),
      "movies": self.sampler.movies,
      "evaluations": self.sampler.evaluations,
      "evaluation_seconds": _round(self.sampler.seconds.step),
      "seconds_a_movie": _round(self.sampler.seconds_a_movie),
    }
    return {
      "topology": self.topology,
      "num_slices": self.slices,
      "chips": self.chips,
      "mesh": self.mesh,
      "batch": self.batch,
      "tokens": self.tokens,
      "parameters": self.parameters,
      "fits": self.fits,
      "memory_gib": _round(self.used / GIB),
      "headroom_gib": _round((self.available - self.used) / GIB),
      "memory": {name: _round(value / GIB) for name, value in self.memory.items()},
      "largest": [[_round(size / GIB), kind, by] for size, kind, by in self.largest],
      "flops": self.hardware_flops,
      "model_flops": self.model_flops,
      "compiler_flops": self.compiler_flops,
      "hbm_gib": _round(self.hbm / GIB),
      "collective_gib": _round(sum(c.bytes for c in self.collectives) / GIB),
      "collectives": [
        {
          "kind": c.kind,
          "axes": list(c.axes),
          "devices": c.size,
          "between_slices": c.slices,
          "count": c.count,
          "gib": _round(c.bytes / GIB),
        }
        for c in self.collectives
        if c.bytes > 2**20
      ],
      "step_seconds": _round(self.seconds.step),
      "seconds": {name: _round(value) for name, value in vars(self.seconds).items()},
      "bound": self.seconds.bound,
      "assumption": "peak rates; only collectives of parameters and gradients overlap computation",
      "mfu": _round(self.mfu),
      "tokens_per_second": _round(self.tokens_per_second),
      "chip_hours": _round(self.chip_hours),
      "price_per_chip_hour": self.price,
      "dollars": None if self.dollars is None else _round(self.dollars),
      "sampler": sampler,
      "warnings": self.warnings,
      "compile_seconds": _round(self.compile_seconds),
    }
