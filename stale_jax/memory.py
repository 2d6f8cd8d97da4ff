"""Memory: freed blocks are kept for the next step, and long movies are stored in files."""

import ctypes
import math
import os
import tempfile

import jax
import numpy as np
from jaxtyping import Float32

from stale_jax.errors import UserError

# Share of a GPU's memory that a program allocates when it starts; JAX's default is 0.75.
GPU_SHARE = 0.92
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # Parameters of mallopt(3).
_BLOCK = bytes(1 << 20)


def keep_memory() -> None:
  """Makes the process keep the memory that a step frees, for the next step.

  On a GPU, the process allocates `GPU_SHARE` of the memory when it starts, unless the environment variable
  XLA_PYTHON_CLIENT_MEM_FRACTION is set; this must be called before JAX uses a device. On the CPU (glibc), XLA
  allocates the temporary buffers of a program from the C library and frees them at its end. glibc returns
  such large blocks to the kernel at once, which then has to find and clear pages again in every step.
  """
  os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", str(GPU_SHARE))
  library = ctypes.CDLL(None)
  if jax.default_backend() == "cpu" and hasattr(library, "mallopt"):
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)


def zeros_on_disk(shape: tuple[int, ...]) -> Float32[np.ndarray, "*shape"]:
  """An array of zeros in an unnamed temporary file, which is deleted together with the array.

  Raises:
    UserError: the disk has too little space.
  """
  with tempfile.TemporaryFile() as file:
    try:
      # Allocate the space now: writing to a mapped array on a full disk would kill the process.
      for start in range(0, size := 4 * math.prod(shape), len(_BLOCK)):
        file.write(_BLOCK[: size - start])
      file.flush()
    except OSError as error:
      raise UserError(
        f"no room for the movie in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to another folder."
      ) from error
    return np.memmap(file, np.float32, "r+", shape=shape)
