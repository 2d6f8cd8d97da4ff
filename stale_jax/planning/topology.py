"""Devices of TPU topologies, for ahead-of-time compilation on a machine without a TPU."""

import importlib.util
import os
import sys

from stale_jax.errors import UserError
from stale_jax.launching.topology import GENERATIONS
from stale_jax.planning.chips import chip_of


def check_compiler() -> None:
  """Raises UserError if libtpu, which contains the TPU compiler, is not installed."""
  if importlib.util.find_spec("libtpu") is None:
    raise UserError("planning needs the TPU compiler (libtpu): pip install 'stale_jax[plan]'.")


def topology_devices(topology: str, slices: int = 1) -> list:
  """Returns the devices of `slices` slices of a topology such as "v5e:16x16", for compilation only.

  Raises:
    UserError: there is no such topology, or libtpu is not installed.
  """
  from jax.experimental import topologies

  chip = chip_of(topology)
  name = f"{chip.name}:{topology.partition(':')[2]}"
  check_compiler()
  more = {} if slices == 1 else {"num_slices": slices}
  try:
    with _silence():
      return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **more).devices)
  except Exception as error:
    known = ", ".join(f"{chip.name}:{size}" for size in GENERATIONS[chip.name].shapes)
    raise UserError(f"the compiler does not know the topology {topology!r}; common ones: {known}.") from error


class _silence:
  """Discards stderr, where libtpu logs that it finds no TPU hosts."""

  def __enter__(self):
    sys.stderr.flush()
    self.stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)

  def __exit__(self, *_):
    os.dup2(self.stderr, 2)
    os.close(self.stderr)
