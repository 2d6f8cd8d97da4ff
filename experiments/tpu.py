"""What a program that plans for TPUs says to JAX before it is imported."""

import os


def hide_tpu() -> None:
  """Tells JAX, before it is imported, to use no TPU, and libtpu to look for none and be silent."""
  os.environ["JAX_PLATFORMS"] = "cpu"
  # Without these it asks the cloud for a host that is not there, and says so at length.
  quiet = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # Several may plan at once: nobody holds a TPU.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
  }
  for name, value in quiet.items():
    os.environ.setdefault(name, value)


def without_tpu() -> None:
  """Hides the TPU, and checks that one can be compiled for all the same.

  Raises:
    UserError: libtpu, which holds the compiler, is not installed.
  """
  hide_tpu()
  from stale_jax.planning.topology import check_compiler  # With it comes JAX.

  check_compiler()
