"""Few programs, that compile quickly and outlive the process."""

import functools
import os
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int

from stale_jax.files import cache_folder

_LEVEL = "xla_backend_optimization_level"


def keep_compiled() -> None:
  """Turns JAX's persistent cache on, unless JAX_COMPILATION_CACHE_DIR (or the caller) has chosen already."""
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    # Without this, XLA's own per-fusion caches are written beside it and never read on CPU.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def compiler_options(platform: str | None = None) -> dict[str, int]:
  """For `jax.jit`, of a program for `platform` ("cpu", "gpu", "tpu"), by default for the default device.

  On the CPU LLVM optimizes at its first level. The third, XLA's default, takes half as long again; training
  steps are no faster by it, sampling is by about 5%. A level set in XLA_FLAGS is kept.
  """
  is_cpu = (platform or jax.default_backend()) == "cpu"
  return {_LEVEL: 1} if is_cpu and _LEVEL not in os.environ.get("XLA_FLAGS", "") else {}


@functools.cache
def compiled(method: Callable) -> Callable:
  """`jax.jit` of a method whose object is static: equal objects share what is compiled."""
  return jax.jit(method, static_argnums=0, compiler_options=compiler_options())


def batches(count: int, size: int) -> Iterator[Int[np.ndarray, "size"]]:
  """Indices of `count` rows, `size` at a time; the last are filled up with the last row, for one program."""
  for start in range(0, count, size):
    yield np.minimum(np.arange(start, start + size), count - 1)
