"""The share of a GPU's memory that a program allocates when it starts."""

import os

# JAX's default is 0.75.
GPU_SHARE = 0.92
_NAMES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")


def claim_gpu_memory() -> None:
  """Lets JAX allocate `GPU_SHARE` of the memory, unless the environment sets another share.

  This must be called before JAX uses a device.
  """
  if not any(name in os.environ for name in _NAMES):
    os.environ[_NAMES[0]] = str(GPU_SHARE)
