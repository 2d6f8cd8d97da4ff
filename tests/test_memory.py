"""Memory that a step frees is there for the next one."""

import subprocess
import sys

import pytest

# In a process of its own: what is asked of the C library is asked for good.
PROGRAM = """
import resource
import jax, jax.numpy as jnp
from stale_jax.memory import keep_memory

step = jax.jit(lambda x: jnp.broadcast_to(x, (1 << 24,)) + 1)  # 64 MiB, 16,384 pages.

def faults():
  for call in range(12):
    if call == 8:  # By now as much is there as is ever held at once.
      before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(1.0).block_until_ready()
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
keep_memory()
print(usual, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_memory_that_a_step_frees_is_kept_for_the_next():
  done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
  usual, kept = map(int, done.stdout.split())
  assert usual > 30_000 and kept < 1_000
