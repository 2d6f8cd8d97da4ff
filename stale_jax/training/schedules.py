"""Learning-rate schedules."""

import jax.numpy as jnp
import optax


def arctangent(peak: float, steps: int, steepness: float = 5.0) -> optax.Schedule:
  """An S-shaped decay to 0: peak (1 + atan(k (1 - 2 u)) / atan(k)) / 2, u = step / steps, k = steepness.

  *Stale Diffusion* (arXiv 2404.01079) leaves this schedule to future work. Compared with the cosine schedule,
  it stays near the peak longer, falls faster, and stays near 0 longer: with k = 5 it is at .93 of the peak
  after a quarter of the steps, .5 after half and .07 after three quarters, where the cosine is at .85, .5 and
  .15. It approaches a straight line as k tends to 0, and a step at half time as k grows. With k = 1.58 its
  slope in the middle is that of the cosine.
  """

  def schedule(step):
    u = jnp.clip(step / steps, 0.0, 1.0)
    return peak * (1 + jnp.arctan(steepness * (1 - 2 * u)) / jnp.arctan(steepness)) / 2

  return schedule


DECAYS = {
  "cosine": optax.cosine_decay_schedule,
  "constant": lambda peak, steps: optax.constant_schedule(peak),
  "arctangent": arctangent,
}


def warmed_up(name: str, peak: float, warmup: int, steps: int) -> optax.Schedule:
  """Builds a schedule: linear warm-up from 0 to `peak`, then the decay `name` over the remaining steps.

  Args:
    name: "cosine", "constant" or "arctangent".
    peak: learning rate at the end of the warm-up.
    warmup: steps of warm-up; at most half of `steps` are used.
    steps: steps of the run.
  """
  warmup = min(warmup, steps // 2)
  return optax.join_schedules(
    [optax.linear_schedule(0.0, peak, warmup), DECAYS[name](peak, max(steps - warmup, 1))], [warmup]
  )
