"""What a plan says of a run: memory, operations, seconds and money."""

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
  """One guided evaluation of the network, its parameters cut as in training.

  Attributes:
    movies: made at once.
    evaluations: of the network a movie.
    used: bytes of HBM a device.
    seconds: of an evaluation, the roofline's.
  """

  movies: int
  evaluations: int
  used: float
  seconds: Seconds

  @property
  def seconds_a_movie(self) -> float:
    """From one movie's end to the next, on the whole machine."""
    return self.evaluations * self.seconds.step / self.movies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a config needs on a topology; bytes, operations and seconds are of one device and one step.

  Attributes:
    topology, slices, chip, chips, devices: what it is planned for.
    mesh: axis -> size.
    batch, tokens, steps: clips a step, tokens of all senses of a clip, steps of the run.
    parameters: of the network.
    memory: what lies in HBM -> bytes.
    available: bytes of HBM, less what the runtime keeps.
    largest: the greatest arrays that the program makes: (bytes, type, what made it).
    compiled: whether the compiler found a program that fits; its word decides `fits`.
    model_flops: of the model alone, 3 x forward: what the MFU is of.
    hardware_flops: with what is computed again to save memory.
    compiler_flops: the compiler's, of its matrix products, loops counted as often as they run, and
      for kernels, into which nobody sees, the attention of `hardware_flops`.
    hbm: bytes read and written.
    collectives: what is sent.
    seconds: the roofline's.
    price: US dollars a chip and hour; None: not known.
    warnings: sentences.
    compile_seconds: here.
    sampler: the same of the sampler, or None.
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
    """Bytes of HBM."""
    return sum(self.memory.values())

  @property
  def fits(self) -> bool:
    """Whether it does."""
    return self.compiled and self.used <= self.available

  @property
  def mfu(self) -> float:
    """Model FLOPs utilisation: of the peak, at the roofline's time."""
    return self.model_flops / self.seconds.step / (self.chip.flops / self.chip.devices)

  @property
  def tokens_per_second(self) -> float:
    """Of the whole machine."""
    return self.batch * self.tokens / self.seconds.step

  @property
  def chip_hours(self) -> float:
    """Of the run."""
    return self.steps * self.seconds.step * self.chips / 3600

  @property
  def dollars(self) -> float | None:
    """Of the run; None where no price is known."""
    return None if self.price is None else self.chip_hours * self.price

  def json(self) -> dict[str, Any]:
    """As plain data."""
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
      "assumption": "peak rates; parameters and gradients travel beside computation, activations do not",
      "mfu": _round(self.mfu),
      "tokens_per_second": _round(self.tokens_per_second),
      "chip_hours": _round(self.chip_hours),
      "price_per_chip_hour": self.price,
      "dollars": None if self.dollars is None else _round(self.dollars),
      "sampler": sampler,
      "warnings": self.warnings,
      "compile_seconds": _round(self.compile_seconds),
    }
