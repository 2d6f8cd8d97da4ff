"""What a plan would say, roughly and in a moment: for a search to leave out what cannot be best.

Shapes and byte counts of the transformer's parts, by hand; the compiler has the last word.
"""

import dataclasses
import math

import jax

from stale_jax.mesh import MeshShape
from stale_jax.planning.chips import Chip
from stale_jax.planning.collectives import Collective
from stale_jax.planning.roofline import Seconds, roofline
from stale_jax.training.experiment import Experiment

# Values a token of a block that are kept for its gradient, in widths; "full": what goes into it alone.
KEPT = {"full": 1, "dots": 10, "none": 34}
# Values a token that a block needs while its gradient is computed, in widths.
_WORKING = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
  """An experiment in numbers.

  Attributes:
    parameters: how many.
    held: bytes a parameter of all that a state holds.
    forward: operations of one clip's forward pass.
    tokens, width, depth: of the first sense's stream.
  """

  parameters: float
  held: float
  forward: float
  tokens: int
  width: int
  depth: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
  """Attributes: bytes of memory, and seconds of a step."""

  memory: float
  seconds: Seconds


def sizes(experiment: Experiment, params, held: float, forward: float) -> Sizes:
  """Of `experiment`, whose forward pass of one clip takes so many operations."""
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
  """Of `of` on a mesh whose sizes are all given, with so many clips a step over all devices."""
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
  swaps = 8 if remat == "none" else 12  # Queries, keys, values and the answer; there, again, and back.
  add("all-to-all", ("ulysses",), mesh.ulysses, swaps * of.depth, 2 * of.width * local / mesh.tensor)
  add("all-reduce", ("tensor",), mesh.tensor, 8 * of.depth, 2 * of.width * local)
  # Gathered parameters are written and read, the state too, and each block's values forward and twice back.
  hbm = 2 * whole * passes + of.parameters * (2 * of.held + 8) / cut
  hbm += 2 * 3 * _WORKING * 2 * of.width * local * of.depth
  return Estimate(memory=memory, seconds=roofline(chip, flops, hbm, sent))
