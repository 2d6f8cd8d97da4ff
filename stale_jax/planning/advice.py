"""Warnings about a plan: what wastes memory or time, and what the plan does not know."""

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
# Thresholds of the warnings: bytes of replicated parameters per device, and share of padding tokens.
_REPLICATED, _PADDING = 64 * 2**20, 0.05


def advice(made: Plan, experiment: Experiment, program) -> list[str]:
  """Returns warnings about the plan `made`, each a sentence.

  Args:
    made: the plan.
    experiment: the experiment that is planned.
    program: its `TrainingProgram`.
  """
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
      f"heads are {width} wide and padded to {width + -width % 128}: attention computes {more:.0%} more."
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
    warnings.append(f"{share:.0%} of the step time is spent waiting for collectives inside layers.")
  if made.compiled and made.seconds.bound != "flops":
    warnings.append(f"the step time is bound by {_BOUNDS[made.seconds.bound]}, not by operations.")
  if made.compiler_flops and not 0.95 < made.hardware_flops / made.compiler_flops < 1.05:
    ratio = made.compiler_flops / made.hardware_flops
    warnings.append(f"the compiled program does {ratio:.2f} times the operations counted in the jaxpr.")
  if not made.compiled:
    warnings.append("the program does not fit into memory: the compiler reported only how much it needs.")
  if made.price is None:
    warnings.append(f"no price is known for {made.chip.name}: give --price_per_hour.")
  return warnings
