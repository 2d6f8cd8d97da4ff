"""Compilation: options, a cache on disk, and batches of equal size, so that few programs are compiled."""

import functools
import os
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int

from stale_jax.files import cache_folder

_LEVEL = "xla_backend_optimization_level"


def keep_compiled() -> None:
  """Turns on JAX's persistent compilation cache, unless the user or the environment has set its folder."""
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    # Otherwise XLA also writes per-fusion caches, which are never read on the CPU.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def compiler_options(platform: str | None = None) -> dict[str, int]:
  """Options of `jax.jit` for a program on `platform` ("cpu", "gpu", "tpu"; default: the default backend).

  On the CPU, LLVM's optimization level is 1. With XLA's default, level 3, compilation takes 50% longer,
  training steps are not faster, and sampling is about 5% faster. A level in XLA_FLAGS has precedence.
  """
  is_cpu = (platform or jax.default_backend()) == "cpu"
  return {_LEVEL: 1} if is_cpu and _LEVEL not in os.environ.get("XLA_FLAGS", "") else {}


@functools.cache
def compiled(method: Callable) -> Callable:
  """`jax.jit` of a method with a static `self`: equal objects share one compiled program."""
  return jax.jit(method, static_argnums=0, compiler_options=compiler_options())


def batches(count: int, size: int) -> Iterator[Int[np.ndarray, "size"]]:
  """Indices of `count` rows, `size` at a time; the last row pads the last batch to the same size."""
  for start in range(0, count, size):
    yield np.minimum(np.arange(start, start + size), count - 1)
