"""Movies that keep moving are preferred to their fellows: a group-relative reward, for models without
likelihood.

GRPO (arXiv 2402.03300) makes several samples of one prompt, and those that are rewarded above their group's
mean are made likelier. For that it asks a sampler for probabilities. One whose noise is uniform has none
that help: its density is flat, with walls, and has no gradient. So this is DiffusionNFT (arXiv 2509.16117),
which asks for none: the model that was sampled from, noised samples, and the flow's own regression, in which
what was rewarded attracts and what was not repels. It is for models that tell means, not for students of few
steps.

The reward (ours; Self-Forcing++, arXiv 2510.02283, rewards the optical flow by a formula it does not give)
is less the variance of the speed within windows, plus kappa min(1, speed / usual speed): the first alone is
won by a movie that stands still.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.processes import Corruption, Process

_BLUR = 1.5  # Pixels, over which pictures are blurred: of about what moves in a frame.
_LEAST = 1e-3  # Of squared gradients, below which there is nothing to be seen.


def global_speeds(sight: Float[Array, "batch frames height width channels"]) -> Float[Array, "batch pairs"]:
  """Pixels a frame by which the whole picture moves, by least squares (Lucas and Kanade, 1981)."""
  grey = (sight.mean(-1) + 1) / 2

  def blur(size: int):
    apart = jnp.arange(size)[:, None] - jnp.arange(size)
    kernel = jnp.exp(-jnp.square(apart / _BLUR) / 2)
    return kernel / kernel.sum(1, keepdims=True)

  grey = jnp.einsum("hi,bfij,wj->bfhw", blur(grey.shape[2]), grey, blur(grey.shape[3]))
  middle, change = (grey[:, 1:] + grey[:, :-1]) / 2, grey[:, 1:] - grey[:, :-1]
  down, right = jnp.gradient(middle, axis=2), jnp.gradient(middle, axis=3)

  def total(a, b):
    return jnp.sum(a * b, (2, 3))

  rr, rd, dd = total(right, right) + _LEAST, total(right, down), total(down, down) + _LEAST
  rt, dt = total(right, change), total(down, change)
  determinant = rr * dd - rd * rd
  move = jnp.stack([rd * dt - dd * rt, rd * rt - rr * dt]) / determinant
  return jnp.sqrt(jnp.sum(jnp.square(move), 0) + 1e-12)


def motion_reward(
  speed: Float[Array, "batch pairs"], usual: float, window: int, kappa: float
) -> Float[Array, "batch"]:
  """-variance of the speed within windows + kappa min(1, mean speed / usual).

  Args:
    speed: from frame to frame, at least `window` of them.
    usual: speed of real clips.
    window: pairs of frames; what is left over at the end of them counts for the mean alone.
    kappa: of the second term.
  """
  whole = speed[:, : speed.shape[1] // window * window]
  variance = jnp.var(jnp.reshape(whole, (len(speed), -1, window)), -1).mean(-1)
  return kappa * jnp.minimum(speed.mean(-1) / usual, 1) - variance


def advantages(reward: Float[Array, "batch"], group: int) -> Float[Array, "batch"]:
  """(reward - mean) / standard deviation of its group, neighbours in the batch; 0 where all are alike."""
  each = jnp.reshape(reward, (-1, group))
  apart = each - each.mean(1, keepdims=True)
  return jnp.reshape(apart / (each.std(1, keepdims=True) + 1e-6), -1)


def nft_loss(
  process: Process,
  output: Array,
  old: Array,
  corruption: Corruption,
  t: Float[Array, "batch frames"],
  advantage: Float[Array, "batch"],
  beta: float = 1.0,
) -> Array:
  """r loss((1 - beta) old + beta output) + (1 - r) loss((1 + beta) old - beta output), r = 1/2 + A/2 in [0,
  1].

  Value by value; arXiv 2509.16117, eq. 5. At output = old its gradient is A beta times that of the process's
  own loss, clipped A: what was better than its group is learnt, what was worse is unlearnt.

  Args:
    process: whose loss.
    output, old: of the model, and of that which the clips were sampled from, for the clips noised.
    corruption, t: of the clips that were sampled.
    advantage: of each.
    beta: how far the model is thought to have gone from the old one.
  """
  old = jax.lax.stop_gradient(old)
  r = jnp.clip((1 + advantage) / 2, 0, 1)
  r = jnp.reshape(r, (-1,) + (1,) * (output.ndim - 1))
  better = process.loss((1 - beta) * old + beta * output, corruption, t)
  worse = process.loss((1 + beta) * old - beta * output, corruption, t)
  return r * better + (1 - r) * worse
