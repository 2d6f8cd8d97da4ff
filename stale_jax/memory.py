"""Freed memory stays the process's, for the next step to use.

What a program needs while it runs XLA takes from the C library on a CPU, and frees at its end. glibc hands
blocks as large as these back to the kernel at once, which then has to find and clear their pages anew at every
step.
"""

import ctypes

import jax

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # Of mallopt(3).


def keep_memory() -> None:
  """Where JAX computes on the CPU, by glibc; elsewhere nothing changes."""
  library = ctypes.CDLL(None)
  if jax.default_backend() == "cpu" and hasattr(library, "mallopt"):
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
