"""Environment of a program that compiles for TPUs on a machine without one; set before JAX is imported."""

import os


def hide_tpu() -> None:
  """Makes JAX use the CPU and libtpu print nothing and look for no TPU; call it before importing JAX."""
  os.environ["JAX_PLATFORMS"] = "cpu"
  # Without these libtpu asks the cloud for metadata of a TPU host, fails, and logs the failure at length.
  quiet = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # Several processes may plan at once: none of them holds a TPU.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
  }
  for name, value in quiet.items():
    os.environ.setdefault(name, value)


def without_tpu() -> None:
  """Hides the TPU and checks that programs can be compiled for TPUs.

  Raises:
    UserError: libtpu, which contains the compiler, is not installed.
  """
  hide_tpu()
  from stale_jax.planning.topology import check_compiler  # This imports JAX.

  check_compiler()
