"""Few compiled programs, that outlive the process: JAX's persistent cache, and batches of one shape."""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Int

from stale_jax.files import cache_folder


def keep_compiled() -> None:
  """Turns the cache on, unless JAX_COMPILATION_CACHE_DIR (or the caller) has chosen already."""
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    # Without this, XLA's own per-fusion caches are written beside it and never read on CPU.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def batches(count: int, size: int) -> Iterator[Int[np.ndarray, "size"]]:
  """Indices of `count` rows, `size` at a time; the last are filled up with the last row, for one program."""
  for start in range(0, count, size):
    yield np.minimum(np.arange(start, start + size), count - 1)
