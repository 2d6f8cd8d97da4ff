"""A measurement, how it is taken, and the machine that it was taken on."""

import dataclasses
import importlib.metadata
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from stale_jax.compilation import compiler_options
from stale_jax.flops import peak_flops

_VERSIONS = ("jax", "jaxlib", "flax", "optax")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
  """The times of a program.

  Attributes:
    suite: the suite that measured it.
    name: what was timed.
    seconds: time of each repetition after the first, which is not counted.
    devices: number of devices that ran it.
    flops: model FLOPs of one repetition on all devices, without recomputation; None if they were not counted.
    tokens: tokens of the senses that one repetition processes; None if it processes none.
    compile_seconds: time of tracing, lowering and compiling; None if it was not measured alone.
    peak_bytes: most memory in use on a device since the process began; None if the backend does not tell.
    more: further numbers, by name.
  """

  suite: str
  name: str
  seconds: list[float]
  devices: int = 1
  flops: float | None = None
  tokens: int | None = None
  compile_seconds: float | None = None
  peak_bytes: int | None = None
  more: dict[str, Any] = dataclasses.field(default_factory=dict)

  def record(self, product: float | None) -> dict[str, Any]:
    """The measurement as JSON.

    Args:
      product: FLOP/s per device of a large matrix product (`product_flops`); None if it was not measured.
    """
    median = statistics.median(self.seconds)
    speed = None if self.flops is None else self.flops / median / self.devices
    peak = peak_flops(jax.devices()[0].device_kind)
    return {
      "suite": self.suite,
      "name": self.name,
      "seconds": median,
      "fastest": min(self.seconds),
      "slowest": max(self.seconds),
      "repetitions": len(self.seconds),
      "tflops_per_device": None if speed is None else speed / 1e12,
      "mfu": None if speed is None or peak is None else speed / peak,
      "mfu_of_product": None if speed is None or product is None else speed / product,
      "tokens_per_second": None if self.tokens is None else self.tokens / median,
      "compile_seconds": self.compile_seconds,
      "peak_gib": None if self.peak_bytes is None else self.peak_bytes / 2**30,
      **self.more,
    }


def repeated(run: Callable[[], Any], repetitions: int) -> list[float]:
  """Seconds of each repetition of `run`, to the end of its computation on the devices, after one warm-up."""
  jax.block_until_ready(run())
  seconds = []
  for _ in range(repetitions):
    began = time.perf_counter()
    jax.block_until_ready(run())
    seconds.append(time.perf_counter() - began)
  return seconds


def compiled_for(function: Callable, *arguments, **options) -> tuple[Callable, float]:
  """(the compiled function, seconds of tracing, lowering and compiling it)."""
  began = time.perf_counter()
  program = jax.jit(function, compiler_options=compiler_options(), **options).lower(*arguments).compile()
  return program, time.perf_counter() - began


def peak_bytes() -> int | None:
  """Most bytes in use on the first device since the process began; None if the backend does not tell."""
  stats = jax.devices()[0].memory_stats()
  return None if stats is None else stats.get("peak_bytes_in_use")


def product_flops() -> float:
  """FLOP/s of a device for ten dependent square matrix products in bfloat16, of size 8192 (CPU: 1024)."""
  size, count = (1024 if jax.default_backend() == "cpu" else 8192), 10

  @jax.jit
  def products(x):
    return jax.lax.fori_loop(0, count, lambda _, y: (x @ y) / size, x)

  x = jax.device_put(jnp.ones((size, size), jnp.bfloat16), jax.devices()[0])
  return 2 * size**3 * count / statistics.median(repeated(lambda: products(x), 3))


def machine() -> dict[str, Any]:
  """Devices and versions."""
  return {
    "device": jax.devices()[0].device_kind,
    "devices": jax.device_count(),
    "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
  }
