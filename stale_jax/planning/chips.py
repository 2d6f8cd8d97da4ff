"""Specifications of TPU chips, from the vendor; the roofline of a plan uses them.

Sources: https://docs.cloud.google.com/tpu/docs/tpu7x (table "Specification") for v5p, v6e and 7x;
https://docs.cloud.google.com/tpu/docs/v5e for v5e. The interconnect bandwidth is the sum over all links of a
chip and both directions. v5e and v6e form a 2-D torus, v5p and 7x a 3-D torus.
"""

import dataclasses
import re

from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.flops import PEAK
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
      flops=PEAK["TPU v5 lite"],
      memory=16 * _GIB,
      bandwidth=819 * _GB,
      torus=2,
      ici=400 * _GB,
      dcn=6.4e12 / 8 / 256,
    ),
    Chip(
      name="v5p",
      kind="TPU v5",
      flops=PEAK["TPU v5"],
      memory=95 * _GIB,
      bandwidth=2765 * _GB,
      torus=3,
      ici=1200 * _GB,
      dcn=50e9 / 8,
    ),
    Chip(
      name="v6e",
      kind="TPU v6 lite",
      flops=PEAK["TPU v6 lite"],
      memory=32 * _GIB,
      bandwidth=1638 * _GB,
      torus=2,
      ici=800 * _GB,
      dcn=100e9 / 8,
    ),
    Chip(
      name="tpu7x",
      kind="TPU7x",
      flops=2 * PEAK["TPU7x"],
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
