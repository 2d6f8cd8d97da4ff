"""What a program that plans for TPUs says to JAX before it is imported."""

import importlib.util
import os

from stale_jax.errors import UserError


def without_tpu() -> None:
  """There is no TPU here: JAX is not to use one, and libtpu to look for none, and to be silent.

  Raises:
    UserError: libtpu, which holds the compiler, is not installed.
  """
  if importlib.util.find_spec("libtpu") is None:
    raise UserError("planning compiles with the TPU's own compiler: pip install 'stale_jax[plan]'.")
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
