"""Learning rates, as functions of the step alone."""

import jax.numpy as jnp
import optax


def arctangent(peak: float, steps: int, steepness: float = 5.0) -> optax.Schedule:
  """An S from `peak` to 0: peak (1 + atan(k (1 - 2 u)) / atan(k)) / 2, u = step / steps, k = steepness.

  *Stale Diffusion* (arXiv 2404.01079) leaves it to future work. It stays near the peak longer than the
  cosine, crosses over faster, and then anneals longer: with k = 5 it is at .93 of the peak after
  a quarter of the steps, .5 after half and .07 after three quarters, where the cosine is at .85, .5
  and .15. As k tends to 0 it becomes the straight line, as k grows a step down at half time;
  k = 1.58 is as steep in the middle as the cosine.
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
  """From 0 in a line to `peak` in `warmup` of the `steps` (at most half), then the decay `name`."""
  warmup = min(warmup, steps // 2)
  return optax.join_schedules(
    [optax.linear_schedule(0.0, peak, warmup), DECAYS[name](peak, max(steps - warmup, 1))], [warmup]
  )
