"""Environment variables of a program that compiles for TPUs or GPUs on a machine without them."""

import os
import sys


def hide_tpu() -> None:
  """Selects the CPU for JAX, and keeps libtpu from searching for a TPU and from printing.

  It must be called before JAX uses a device.
  """
  os.environ["JAX_PLATFORMS"] = "cpu"
  if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_platforms", "cpu")
  # Without these variables libtpu asks the metadata server of a TPU host, fails, and logs it at length.
  quiet = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # Several processes may compile at once, since none of them uses a TPU.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
  }
  for name, value in quiet.items():
    os.environ.setdefault(name, value)


def without_tpu(topology: str = "v5e:16x16") -> None:
  """Hides the TPU and checks that programs can be compiled for `topology`.

  Raises:
    UserError: the compiler is not installed, or the topology is unknown.
  """
  hide_tpu()
  from stale_jax.planning.topology import check_compiler  # This imports JAX.

  check_compiler(topology)
