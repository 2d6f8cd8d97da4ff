"""Tracing and lowering of programs for cuDNN on machines without a GPU."""

import contextlib
from collections.abc import Iterator
from unittest import mock

from jax._src.cudnn import fused_attention_stablehlo as fused


@contextlib.contextmanager
def pretend_cudnn() -> Iterator[None]:
  """Lets JAX trace and lower cuDNN attention as if the newest cuDNN and an H100 were there.

  JAX asks the installed libraries for their versions while it traces; nothing can be run.
  """
  with (
    mock.patch.object(fused, "check_cudnn_version", lambda *_: 91000),
    mock.patch.object(fused, "check_compute_capability", lambda *_: True),
  ):
    yield
