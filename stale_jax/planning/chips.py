"""Specifications of TPUs and GPUs, from the vendors; the roofline of a plan uses them.

Sources: https://docs.cloud.google.com/tpu/docs/tpu7x (table "Specification") for v5p, v6e and 7x;
https://docs.cloud.google.com/tpu/docs/v5e for v5e; the data sheets of A100 80GB SXM, H100 SXM, H200 SXM and
L4 (https://www.nvidia.com/en-us/data-center). The interconnect bandwidth is the sum over all links of a chip
and both directions. v5e and v6e form a 2-D torus, v5p and 7x a 3-D torus; a switch connects the GPUs of a
machine, each with its full bandwidth to any other (L4: PCIe 4.0). Between machines a GPU sends through its
network card: 200 Gbit/s for each A100, 400 for each H100 and H200, and 100 for a machine of 8 L4.
"""

import dataclasses
import re

from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.flops import PEAK
from stale_jax.gpu_memory import GPU_SHARE
from stale_jax.launching.topology import GPUS_PER_HOST, shapes_of

_GB, _GIB = 1e9, 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """The specification of a chip, a TPU or a GPU, which JAX may present as several devices.

  Attributes:
    name: name in topologies: "v5e" in "v5e:16x16".
    kind: substring of JAX's `device_kind`.
    flops: peak bfloat16 operations per second.
    memory: bytes of HBM.
    bandwidth: bandwidth of HBM in bytes per second.
    reserved: share of HBM that programs cannot use.
    torus: dimensions of the torus; 0 for a GPU, which a switch connects to the others.
    ici: bytes per second over all links of the chip, in both directions together.
    dcn: bytes per second that a chip can send to other slices (for GPUs: machines), over the network.
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
  reserved: float = 1 / 64  # The compiler allows 15.75 of the 16 GiB of a v5e.

  @property
  def is_gpu(self) -> bool:
    """Whether the chip is a GPU."""
    return not self.torus

  @property
  def available(self) -> float:
    """Bytes of HBM that a program can use on a device."""
    return self.memory / self.devices * (1 - self.reserved)

  @property
  def axis(self) -> float:
    """Bytes per second that a device can send along one axis of the torus, both ways, or to a switch."""
    return self.ici / 2 / max(1, self.torus) / self.devices


def _gpu(name: str, kind: str, **facts: float) -> Chip:
  """A GPU. Programs start with `stale_jax.gpu_memory.GPU_SHARE` of its memory."""
  return Chip(name=name, kind=kind, flops=PEAK[kind], torus=0, reserved=1 - GPU_SHARE, **facts)


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
    _gpu("a100", "A100", memory=85_100_068_864, bandwidth=2039 * _GB, ici=600 * _GB, dcn=200e9 / 8),
    _gpu("h100", "H100", memory=84_942_979_072, bandwidth=3352 * _GB, ici=900 * _GB, dcn=400e9 / 8),
    _gpu("h200", "H200", memory=151_397_597_184, bandwidth=4800 * _GB, ici=900 * _GB, dcn=400e9 / 8),
    _gpu("l4", "L4", memory=24_152_899_584, bandwidth=300 * _GB, ici=64 * _GB, dcn=100e9 / 8 / 8),
  )
}


def chip_of(topology: str) -> Chip:
  """The chip of a topology, for example "v5e:16x16" or "h100:8".

  Raises:
    UserError: the chip is unknown, or the shape does not have the dimensions of its torus.
  """
  name, _, shape = topology.partition(":")
  name = {"7x": "tpu7x"}.get(name, name)
  if name not in CHIPS:
    known = [f"{chip}:{size}" for chip in CHIPS for size in shapes_of(chip)]
    raise UserError(f"unknown topology {topology!r}: {nearest(topology, known)}")
  chip = CHIPS[name]
  if not re.fullmatch("x".join([r"[1-9]\d*"] * max(1, chip.torus)), shape) or (
    chip.is_gpu and int(shape) > GPUS_PER_HOST
  ):
    known = [f"{name}:{size}" for size in shapes_of(name)]
    raise UserError(f"unknown topology {topology!r}: {nearest(topology, known)}")
  return chip
