"""Memory: kept where the next step needs it again, and not taken where a disk will do."""

import ctypes
import math
import tempfile

import jax
import numpy as np
from jaxtyping import Float32

from stale_jax.errors import UserError

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # Of mallopt(3).
_BLOCK = bytes(1 << 20)


def keep_memory() -> None:
  """What a step frees is there for the next, where JAX computes on the CPU and the C library is glibc.

  XLA takes what a program needs while it runs from the C library, and frees it at its end. glibc hands blocks
  as large as these back to the kernel at once, which has to find and clear their pages anew at every step.
  """
  library = ctypes.CDLL(None)
  if jax.default_backend() == "cpu" and hasattr(library, "mallopt"):
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)


def zeros_on_disk(shape: tuple[int, ...]) -> Float32[np.ndarray, "*shape"]:
  """An array of zeros in a file without a name, which goes when nobody holds the array any more.

  Raises:
    UserError: there is no room for it.
  """
  with tempfile.TemporaryFile() as file:
    try:
      # Without room set aside, a disk that is full would end the process when the array is written to.
      for start in range(0, size := 4 * math.prod(shape), len(_BLOCK)):
        file.write(_BLOCK[: size - start])
      file.flush()
    except OSError as error:
      raise UserError(f"no room for the movie in {tempfile.gettempdir()}: {error.strerror}.") from error
    return np.memmap(file, np.float32, "r+", shape=shape)
