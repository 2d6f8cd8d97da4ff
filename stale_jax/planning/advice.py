"""Warnings about a plan, besides its numbers."""

import math

import jax

from stale_jax.mesh import parts, path_name, uncut
from stale_jax.planning.report import GIB, Plan
from stale_jax.training.experiment import Experiment

_BOUNDS = {
  "hbm": "HBM",
  "hidden": "collectives of parameters and gradients",
  "dcn": "the network between slices",
}
# Least bytes of replicated parameters, and least share of padding, that are worth a warning.
_REPLICATED, _PADDING = 64 * 2**20, 0.05


def advice(made: Plan, experiment: Experiment, program) -> list[str]:
  """Warnings about the plan, as sentences."""
  warnings, mesh, model = [], program.mesh, experiment.network
  whole = {}
  for path, x in jax.tree_util.tree_leaves_with_path(program.state.params):
    whole[path_name(path)] = math.prod(x.shape) * x.dtype.itemsize
  names = list(uncut(mesh, program.state.params, model.declared))
  size = sum(whole[name] for name in names)
  if size > _REPLICATED:
    worst = max(names, key=whole.get)
    warnings.append(
      f"{size / GIB:.2f} GiB of parameters are replicated on every device; the largest is {worst}."
    )
  width = model.width // model.heads
  if width % 128:
    more = -width % 128 / width
    warnings.append(
      f"heads are {width} wide and padded to {width + -width % 128}: {more:.0%} more attention."
    )
  ways = parts(mesh, "tokens")
  for sense in experiment.data.senses:
    place = math.prod(sense.grid(experiment.data.source.frames)[1:])
    if (missing := -place % ways) / place > _PADDING:
      warnings.append(
        f"{sense.name} has {place} tokens per frame group, padded by {missing} to a multiple of {ways}."
      )
  if made.seconds.exposed > 0.2 * made.seconds.step:
    share = made.seconds.exposed / made.seconds.step
    warnings.append(f"{share:.0%} of the step waits for collectives inside layers.")
  if made.compiled and made.seconds.bound != "flops":
    warnings.append(f"a step is bound by {_BOUNDS[made.seconds.bound]}, not by operations.")
  if made.compiler_flops and not 0.95 < made.hardware_flops / made.compiler_flops < 1.05:
    ratio = made.compiler_flops / made.hardware_flops
    warnings.append(f"the compiled program does {ratio:.2f} times the operations that were counted.")
  if not made.compiled:
    warnings.append("the compiler found no program that fits: only its memory use is known.")
  if made.price is None:
    warnings.append(f"no price is known for {made.chip.name}: give --price_per_hour.")
  return warnings
