"""The mesh, and where each array lies on it."""

import dataclasses
import math

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshShape:
  """Devices along each axis; one of the two may be -1: all that are left.

  Attributes:
    data: copies of the parameters, each with its part of the batch.
    fsdp: parts the parameters (and the batch) are cut into.
  """

  data: int = -1
  fsdp: int = 1

  def __post_init__(self):
    if not all(size == -1 or size >= 1 for size in (self.data, self.fsdp)):
      raise UserError(f"mesh data={self.data}, fsdp={self.fsdp}: sizes are -1 or at least 1.")

  def build(self, devices=None) -> Mesh:
    """Raises UserError if the devices cannot be laid out so."""
    devices = np.asarray(jax.devices() if devices is None else devices)
    sizes = [self.data, self.fsdp]
    known = math.prod(size for size in sizes if size > 0)
    if sizes.count(-1) > 1 or devices.size % known or (-1 not in sizes and known != devices.size):
      raise UserError(f"mesh data={self.data}, fsdp={self.fsdp} does not fit {devices.size} device(s).")
    sizes = [devices.size // known if size == -1 else size for size in sizes]
    return Mesh(devices.reshape(sizes), ("data", "fsdp"))


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The first axis over all devices."""
  return NamedSharding(mesh, P(("data", "fsdp")))


def state_shardings(mesh: Mesh, state):
  """Each array's largest axis that divides is cut over fsdp; the rest is replicated."""
  parts = mesh.shape["fsdp"]

  def leaf(x):
    axes = [axis for axis, size in enumerate(x.shape) if size % parts == 0]
    if parts == 1 or x.ndim < 2 or not axes:
      return NamedSharding(mesh, P())
    longest = max(axes, key=lambda axis: x.shape[axis])
    return NamedSharding(mesh, P(*(["fsdp" if axis == longest else None for axis in range(x.ndim)])))

  return jax.tree.map(leaf, state)
