"""The registry of guidance rules, selected by `sampling.guidance_kind`. A new rule needs one line here.

The fields of a rule are settings of `Sampling` with the same names, or `process`.
"""

from collections.abc import Callable

from stale_jax.sampling.guidance.optimized_scale import OptimizedScale
from stale_jax.sampling.guidance.projected import Projected
from stale_jax.sampling.guidance.rescaled import Rescaled
from stale_jax.sampling.guidance.rule import Plain, Rule

RULES: dict[str, Callable[..., Rule]] = {
  "cfg": Plain,
  "rescaled": Rescaled,
  "apg": Projected,
  "cfg_zero": OptimizedScale,
}
