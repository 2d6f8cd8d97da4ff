"""Memory of the host: how much there is, freed blocks that are kept, and long movies that are files."""

import contextlib
import ctypes
import math
import os
import tempfile
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float32

from stale_jax.errors import UserError
from stale_jax.gpu_memory import claim_gpu_memory

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # Parameters of mallopt(3).
_BLOCK = bytes(1 << 20)


def keep_memory() -> None:
  """Makes the process keep the memory that a step frees, for the next step (CPU backend with glibc only).

  XLA allocates the temporary buffers of a program from the C library and frees them at its end. glibc returns
  such large blocks to the kernel at once, which then has to find and clear pages again in every step.

  This must be called before JAX uses a device (`gpu_memory`).
  """
  claim_gpu_memory()
  library = ctypes.CDLL(None)
  if not hasattr(library, "mallopt"):
    return
  # By default, threads have memory of their own, of which glibc keeps at most 64 MiB. The threads of the CPU
  # backend start together with the backend.
  library.mallopt(_ARENA_MAX, 1)
  if jax.default_backend() == "cpu":
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
  else:
    library.mallopt(_ARENA_MAX, 0)


def host_memory() -> int:
  """Bytes of memory that this process may use: the machine's, or the limit of its container if it is less."""
  found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
  for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # Of cgroups, version 2 and version 1.
    with contextlib.suppress(OSError, ValueError):  # There is no limit.
      found.append(int((Path("/sys/fs/cgroup") / limit).read_text()))
  return min(found)


def device_memory(device: jax.Device) -> int:
  """Bytes of memory of `device`; those of the host for a CPU."""
  stats = device.memory_stats()
  return stats["bytes_limit"] if stats and "bytes_limit" in stats else host_memory()


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
