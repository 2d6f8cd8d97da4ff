"""What a program that plans for TPUs says to JAX before it is imported."""

import os


def without_tpu() -> None:
  """There is no TPU here: JAX is not to use one, and libtpu to look for none, and to be silent.

  Raises:
    UserError: libtpu, which holds the compiler, is not installed.
  """
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
  from stale_jax.planning.topology import check_compiler  # With it comes JAX.

  check_compiler()
