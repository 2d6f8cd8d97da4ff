"""The least time a step can take: every unit at its vendor's peak, and what hides behind what.

  compute      operations at the peak rate, or HBM's bytes at its bandwidth, whichever takes longer;
  hidden       collectives that gather parameters and reduce gradients (data, fsdp): they wait for no
               activation, and run beside the layers before or after theirs;
  exposed      collectives in the middle of a layer (tensor, ulysses): everything waits for them;
               a ring's permutes run beside its attention, and are hidden;
  dcn          what goes to other slices, beside the rest.

  step = max(compute, hidden, dcn) + exposed

A collective has the links of one axis of the torus, both ways round, and shares them with no other.
A measured step takes longer: nothing reaches its peak.
"""

import dataclasses
from collections.abc import Iterable

from stale_jax.planning.chips import Chip
from stale_jax.planning.collectives import Collective

_EXPOSED = {"tensor", "ulysses"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seconds:
  """Of a step, by what takes them; see the module."""

  flops: float
  hbm: float
  hidden: float
  exposed: float
  dcn: float

  @property
  def step(self) -> float:
    """The least time of a step."""
    return max(self.flops, self.hbm, self.hidden, self.dcn) + self.exposed

  @property
  def bound(self) -> str:
    """What takes longest of what runs side by side."""
    return max(("flops", "hbm", "hidden", "dcn"), key=vars(self).get)


def roofline(chip: Chip, flops: float, hbm: float, sent: Iterable[Collective]) -> Seconds:
  """Of a step in which each device does `flops`, moves `hbm` bytes and sends the collectives."""
  hidden = exposed = dcn = 0.0
  for one in sent:
    if one.slices:
      dcn += one.bytes / (chip.dcn / chip.devices)
      continue
    # On a ring of n, what goes to all others goes n/4 links far.
    far = max(1.0, one.size / 4) if one.kind == "all-to-all" else 1.0
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
