"""A roofline model: the least time of a step, with every unit at its peak, and with overlap.

  compute      operations at the peak rate, or HBM traffic at its bandwidth, whichever takes longer;
  hidden       collectives that gather parameters and reduce gradients (data, fsdp): they depend on no
               activation and overlap the computation of other layers;
  exposed      collectives inside a layer (tensor, ulysses), which nothing overlaps; the permutes of ring
               attention overlap the attention, and are hidden;
  dcn          traffic between slices, which overlaps everything else.

  step = max(compute, hidden, dcn) + exposed

A collective uses the links of one axis of the torus, in both directions, and shares them with no other
collective. Measured steps take longer, since no unit reaches its peak.
"""

import dataclasses
from collections.abc import Iterable

from stale_jax.planning.chips import Chip
from stale_jax.planning.collectives import Collective

_EXPOSED = {"tensor", "ulysses"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seconds:
  """The seconds of a step, by cause; see the module docstring.

  Attributes:
    flops, hbm: time of the operations, and of the HBM traffic; `compute` is the greater of the two.
    hidden, exposed, dcn: times of the collectives.
  """

  flops: float
  hbm: float
  hidden: float
  exposed: float
  dcn: float

  @property
  def step(self) -> float:
    """The least time of a step, in seconds."""
    return max(self.flops, self.hbm, self.hidden, self.dcn) + self.exposed

  @property
  def bound(self) -> str:
    """Name of the longest of the times that overlap: "flops", "hbm", "hidden" or "dcn"."""
    return max(("flops", "hbm", "hidden", "dcn"), key=vars(self).get)


def roofline(chip: Chip, flops: float, hbm: float, sent: Iterable[Collective]) -> Seconds:
  """The times of a step on devices of `chip`.

  Args:
    chip: the chip.
    flops: operations per device.
    hbm: bytes that a device reads from and writes to HBM.
    sent: the collectives of the step.
  """
  hidden = exposed = dcn = 0.0
  for one in sent:
    if one.slices:
      dcn += one.bytes / (chip.dcn / chip.devices)
      continue
    # On a ring of n devices, a message to a random device passes n/4 links; a switch has no such detours.
    far = max(1.0, one.size / 4) if one.kind == "all-to-all" and chip.torus else 1.0
    seconds = one.bytes * far / chip.axis
    if set(one.axes) & _EXPOSED and not set(one.axes) & {"data", "fsdp"}:
      exposed += seconds
    else:
      hidden += seconds
  return Seconds(
    flops=flops / (chip.flops / chip.devices),
    hbm=hbm / (chip.bandwidth / chip.devices),
    hidden=hidden,
    exposed=exposed,
    dcn=dcn,
  )
