"""Devices of topologies, for ahead-of-time compilation on a machine without them."""

import importlib.util
import os
import sys

from jax.experimental import topologies

from stale_jax.errors import UserError
from stale_jax.launching.topology import shapes_of
from stale_jax.planning.chips import chip_of
from stale_jax.planning.gpu import target_config


def check_compiler(topology: str) -> None:
  """Checks that the compiler for a topology is installed.

  Raises:
    UserError: libtpu, or JAX's plugin for CUDA, is not installed; or the topology is unknown.
  """
  if chip_of(topology).is_gpu:
    if not any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
      raise UserError("planning for GPUs needs JAX's CUDA plugin: pip install 'stale_jax[cuda]'.")
  elif importlib.util.find_spec("libtpu") is None:
    raise UserError("planning needs the TPU compiler (libtpu): pip install 'stale_jax[plan]'.")


def topology_devices(topology: str, slices: int = 1) -> list:
  """Returns the devices of `slices` slices of a topology such as "v5e:16x16", for compilation only.

  A slice of GPUs, such as "h100:8", is one machine.

  Raises:
    UserError: there is no such topology, or its compiler is not installed.
  """
  chip = chip_of(topology)
  shape = topology.partition(":")[2]
  check_compiler(topology)
  if chip.is_gpu:
    described = {"target_config": target_config(chip.name), "topology": f"1x{slices}x{shape}"}
    try:
      return list(topologies.get_topology_desc(chip.name, platform="cuda", **described).devices)
    except Exception as error:
      words = " ".join(str(error).split())[:200]
      raise UserError(f"JAX's CUDA plugin cannot compile for {topology}: {words}") from error
  more = {} if slices == 1 else {"num_slices": slices}
  try:
    with _silence():
      name = f"{chip.name}:{shape}"
      return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **more).devices)
  except Exception as error:
    known = ", ".join(f"{chip.name}:{size}" for size in shapes_of(chip.name))
    raise UserError(f"the compiler does not know the topology {topology!r}; common ones: {known}.") from error


def slice_index(device) -> int:
  """The slice of a device of `topology_devices`; for a GPU its machine, which has one process."""
  return device.slice_index if device.platform == "tpu" else device.process_index


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
