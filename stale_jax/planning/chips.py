"""Specifications of TPU chips, from the vendor; the roofline of a plan uses them.

Sources: https://docs.cloud.google.com/tpu/docs/tpu7x (table "Specification") for v5p, v6e and 7x;
https://docs.cloud.google.com/tpu/docs/v5e for v5e. The interconnect bandwidth is the sum over all links of a
chip and both directions. v5e and v6e form a 2-D torus, v5p and 7x a 3-D torus.
"""

import dataclasses
import re

from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.launching.topology import GENERATIONS

_GB, _GIB = 1e9, 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """The specification of a chip, which JAX may present as several devices.

  Attributes:
    name: name in topologies: "v5e" in "v5e:16x16".
    kind: substring of JAX's `device_kind`.
    flops: peak bfloat16 operations per second.
    memory: bytes of HBM.
    bandwidth: bandwidth of HBM in bytes per second.
    torus: dimensions of the torus.
    ici: bytes per second over all links of the chip, in both directions together.
    dcn: bytes per second that a chip can send to other slices, over the data centre network.
    devices: JAX devices per chip.
  """

  name: str
  kind: str
  flops: float
  memory: float
  bandwidth: float
  torus: int
  ici: float
  dcn: float
  devices: int = 1

  @property
  def axis(self) -> float:
    """Bytes per second that a device can send along one axis of the torus, in both directions."""
    return self.ici / 2 / self.torus / self.devices


CHIPS = {
  chip.name: chip
  for chip in (
    # A pod of 256 chips shares 6.4 Tbit/s of data centre network.
    Chip(
      name="v5e",
      kind="TPU v5 lite",
      flops=197e12,
      memory=16 * _GIB,
      bandwidth=819 * _GB,
      torus=2,
      ici=400 * _GB,
      dcn=6.4e12 / 8 / 256,
    ),
    Chip(
      name="v5p",
      kind="TPU v5",
      flops=459e12,
      memory=95 * _GIB,
      bandwidth=2765 * _GB,
      torus=3,
      ici=1200 * _GB,
      dcn=50e9 / 8,
    ),
    Chip(
      name="v6e",
      kind="TPU v6 lite",
      flops=918e12,
      memory=32 * _GIB,
      bandwidth=1638 * _GB,
      torus=2,
      ici=800 * _GB,
      dcn=100e9 / 8,
    ),
    Chip(
      name="tpu7x",
      kind="TPU7x",
      flops=2307e12,
      memory=192 * _GIB,
      bandwidth=7380 * _GB,
      torus=3,
      ici=1200 * _GB,
      dcn=100e9 / 8,
      devices=2,
    ),
  )
}


def chip_of(topology: str) -> Chip:
  """The chip of a topology, for example "v5e:16x16".

  Raises:
    UserError: the chip is unknown, or the shape does not have the dimensions of its torus.
  """
  name, _, shape = topology.partition(":")
  name = {"7x": "tpu7x"}.get(name, name)
  if name not in CHIPS:
    known = [f"{chip.name}:{size}" for chip in CHIPS.values() for size in GENERATIONS[chip.name].shapes]
    raise UserError(f"unknown topology {topology!r}: {nearest(topology, known)}")
  chip = CHIPS[name]
  if not re.fullmatch("x".join([r"[1-9]\d*"] * chip.torus), shape):
    known = [f"{name}:{size}" for size in GENERATIONS[chip.name].shapes]
    raise UserError(f"unknown topology {topology!r}: {nearest(topology, known)}")
  return chip


# Substring of JAX's `device_kind` -> peak dense bfloat16 operations per second, from NVIDIA's datasheets:
# https://www.nvidia.com/en-us/data-center/a100, /h100 and /h200 (SXM), /l4; those of H100 to L4 divide the
# numbers with sparsity by two.
GPU_FLOPS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L4": 121e12}


def peak_flops(kind: str) -> float | None:
  """Peak bfloat16 operations per second of a device of JAX's `device_kind`; None if it is unknown."""
  # The longest name first: "TPU v5" is also a part of "TPU v5 lite".
  for chip in sorted(CHIPS.values(), key=lambda chip: -len(chip.kind)):
    if chip.kind in kind:
      return chip.flops / chip.devices
  return next((flops for name, flops in GPU_FLOPS.items() if name in kind), None)
