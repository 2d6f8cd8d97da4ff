"""The cases, bars and result of `infinite_steps_recover_data` and of its `_resolved_slow` variant."""

from collections.abc import Callable

BARS = {
  ("ancestral", 64): 0.010,
  ("ancestral", 256): 0.006,
  ("heun", 16): 0.009,
  ("uniform_flow", 256): 0.006,
}
STEPS = (4, 16, 64, 256)
CASES = ("ancestral", "heun", "uniform_flow")


def measured(ks: Callable) -> dict:
  """Measures all cases; `uniform_flow` in float64.

  Args:
    ks: (process, solver, number of steps) -> Kolmogorov-Smirnov (KS) distance of samples to the data.

  Returns:
    (case, number of steps) -> KS distance.
  """
  import jax

  from stale_jax.processes import Reflected, UniformFlow

  reflected = Reflected(sigma_min=0.005)
  table = {(solver, n): ks(reflected, solver, n) for solver in ("ancestral", "heun") for n in STEPS}
  with jax.enable_x64(True):
    return table | {("uniform_flow", n): ks(UniformFlow(), "euler", n) for n in STEPS}


def result(table: dict, floor: float) -> dict:
  """The result of a claim.

  Args:
    table: output of `measured`.
    floor: KS distance of exact samples, which is reported.
  """
  value = max(table[case] / bar for case, bar in BARS.items())
  falling = all(table[case, 256] < table[case, 16] < table[case, 4] for case in CASES)
  return {
    "value": value,
    "bar": 1.0,
    "holds": bool(value <= 1 and falling),
    "ks": {f"{case} {n}": value for (case, n), value in table.items()},
    "ks_of_exact_samples": floor,
  }
