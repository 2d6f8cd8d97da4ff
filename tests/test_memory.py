"""Memory that a step frees is there for the next one."""

import subprocess
import sys

import numpy as np
import pytest

from stale_jax.memory import zeros_on_disk

# In a process of its own: what is asked of the C library is asked for good.
PROGRAM = """
import resource, statistics
import jax, jax.numpy as jnp
from stale_jax.memory import keep_memory

step = jax.jit(lambda x: jnp.broadcast_to(x, (1 << 24,)) + 1)  # 64 MiB, 16,384 pages.

def faults():
  counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
  for _ in range(41):
    step(1.0).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
  # The backend frees a result after the next one was asked for, at times several, so that a few calls need
  # more memory than was there before.
  return statistics.median(after - before for before, after in zip(counts, counts[1:]))

usual = faults()
keep_memory()
print(usual, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_memory_that_a_step_frees_is_kept_for_the_next():
  done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
  usual, kept = map(int, done.stdout.split())
  assert usual > 7_500 and kept < 250  # Pages per call.


def test_an_array_on_the_disk_is_zeros_until_written_to_and_leaves_no_file(tmp_path, monkeypatch):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
  x = zeros_on_disk((2, 300_000, 3))
  assert x.dtype == np.float32 and not x.any() and not list(tmp_path.iterdir())
  x[1, 5:] = 7
  np.testing.assert_array_equal(np.unique(x[1, 5:]), 7)
  assert not x[0].any() and not x[1, :5].any()


# No file of this process may be larger than two MiB.
FULL = """
import resource, signal, sys, tempfile
from stale_jax.errors import UserError
from stale_jax.memory import zeros_on_disk

tempfile.tempdir = sys.argv[1]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))
try:
  zeros_on_disk((1, 1 << 20))
except UserError as error:
  print(error)
"""


def test_a_full_disk_is_one_line(tmp_path):
  program = [sys.executable, "-c", FULL, str(tmp_path)]
  done = subprocess.run(program, capture_output=True, text=True, check=True)
  assert done.stdout.startswith(f"no room for the movie in {tmp_path}") and not list(tmp_path.iterdir())
