"""Fast, rough estimates of memory and time, by which `planning.fit` ranks candidates before it compiles any.

The formulas count the arrays and operations of a transformer; the memory that the compiler reports is exact.
"""

import dataclasses
import math

import jax

from stale_jax.mesh import MeshShape
from stale_jax.planning.chips import Chip
from stale_jax.planning.collectives import Collective
from stale_jax.planning.roofline import Seconds, roofline
from stale_jax.training.experiment import Experiment

# model.remat -> values per token that a block stores for its gradient, in units of the width. "full" stores
# only the input of the block.
KEPT = {"full": 1, "dots": 10, "none": 34}
# Values per token that a block needs while its gradient is computed, in units of the width.
_WORKING = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
  """The sizes of an experiment that the estimates depend on.

  Attributes:
    parameters: number of parameters.
    held: bytes of the training state per parameter.
    forward: operations of the forward pass of one clip.
    tokens: tokens of the first sense of a clip.
    width, depth: width and number of blocks of the network.
  """

  parameters: float
  held: float
  forward: float
  tokens: int
  width: int
  depth: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
  """Estimated bytes of memory per device, and seconds of a step."""

  memory: float
  seconds: Seconds


def sizes(experiment: Experiment, params, held: float, forward: float) -> Sizes:
  """The sizes of `experiment`; see `Sizes` for `held` and `forward`."""
  first = experiment.data.senses[0]
  return Sizes(
    parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(params)),
    held=held,
    forward=forward,
    tokens=math.prod(first.grid(experiment.data.source.frames)),
    width=experiment.network.width,
    depth=experiment.network.depth,
  )


def estimate(of: Sizes, chip: Chip, mesh: MeshShape, batch: int, remat: str, slices: int = 1) -> Estimate:
  """Estimates the memory and the time of a training step.

  Args:
    of: sizes of the experiment.
    chip: chip of the devices.
    mesh: mesh, without -1.
    batch: clips per step, over all devices.
    remat: value of model.remat, a key of KEPT.
    slices: number of slices, which the axis data spans.
  """
  ways, cut = mesh.data * mesh.fsdp, mesh.fsdp * mesh.context * mesh.tensor
  local = of.tokens * batch / ways / mesh.context
  layer = 2 * of.parameters / max(of.depth, 1)
  kept = 2 * of.width * local * (KEPT[remat] * of.depth + _WORKING / mesh.tensor)
  memory = of.parameters * (of.held + 4 + 2 + 2) / cut + 3 * layer / mesh.tensor + kept
  again = {"full": 4, "dots": 3.4, "none": 3}[remat]
  flops = again * of.forward * batch / (ways * mesh.context * mesh.tensor)
  passes = 2 if remat == "none" else 3
  sent = []

  def add(kind, axes, size, count, each, far=False):
    if size > 1:
      sent.append(Collective(kind, axes, size, far, count, count * each * (size - 1) / size))

  whole = 2 * of.parameters / mesh.tensor
  add("all-gather", ("fsdp", "ulysses"), mesh.fsdp * mesh.context, passes, whole)
  across = slices > 1
  add("all-reduce", ("data",), mesh.data, 2, whole / (mesh.fsdp * mesh.context), across)
  swaps = 8 if remat == "none" else 12  # Queries, keys, values, output; forward, recomputed, backward.
  add("all-to-all", ("ulysses",), mesh.ulysses, swaps * of.depth, 2 * of.width * local / mesh.tensor)
  add("all-reduce", ("tensor",), mesh.tensor, 8 * of.depth, 2 * of.width * local)
  # Gathered parameters and the state are written and read; the values of blocks are written and read once
  # forward and twice backward.
  hbm = 2 * whole * passes + of.parameters * (2 * of.held + 8) / cut
  hbm += 2 * 3 * _WORKING * 2 * of.width * local * of.depth
  return Estimate(memory=memory, seconds=roofline(chip, flops, hbm, sent))
