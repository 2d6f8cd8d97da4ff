"""A group-relative reward for movies that keep moving, for models without a likelihood.

GRPO (arXiv 2402.03300) draws a group of samples per prompt and makes the samples more likely whose reward is
above the group's mean. It needs the sampler's probabilities. With uniform noise these are of no use: the
density of the noise is constant on its support and has no gradient. This module therefore follows
DiffusionNFT (arXiv 2509.16117), which needs no probabilities. It noises the samples and trains with the
regression loss of the flow, relative to the model that was sampled from: samples with a high reward attract
the model, samples with a low reward repel it. The model must predict means, so few-step students cannot be
trained this way.

The reward is ours (Self-Forcing++, arXiv 2510.02283, rewards the optical flow but does not give the formula):
minus the variance of the speed within windows, plus kappa min(1, speed / usual speed). The variance alone
would be least for a movie that stands still.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.processes import Corruption, Process

# Standard deviation of the blur, in pixels: about as far as the picture moves in a frame.
_BLUR = 1.5
# Added to the sums of squared gradients, so that the speed of pictures without structure is 0.
_LEAST = 1e-3


def global_speeds(sight: Float[Array, "batch frames height width channels"]) -> Float[Array, "batch pairs"]:
  """Speed of the whole picture in pixels per frame, by least squares (Lucas and Kanade, 1981)."""
  grey = (sight.mean(-1) + 1) / 2

  def blur(size: int):
    distance = jnp.arange(size)[:, None] - jnp.arange(size)
    kernel = jnp.exp(-jnp.square(distance / _BLUR) / 2)
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
    speed: speed between each pair of consecutive frames; at least `window` pairs.
    usual: mean speed of real clips.
    window: length of a window in pairs of frames. Pairs after the last whole window count for the mean only.
    kappa: weight of the second term.
  """
  whole = speed[:, : speed.shape[1] // window * window]
  variance = jnp.var(jnp.reshape(whole, (len(speed), -1, window)), -1).mean(-1)
  return kappa * jnp.minimum(speed.mean(-1) / usual, 1) - variance


def advantages(reward: Float[Array, "batch"], group: int) -> Float[Array, "batch"]:
  """(reward - mean of its group) / standard deviation of its group; 0 if all rewards of a group are equal.

  Args:
    reward: reward of each movie.
    group: number of movies in a group; the movies of a group are consecutive in the batch.
  """
  grouped = jnp.reshape(reward, (-1, group))
  centred = grouped - grouped.mean(1, keepdims=True)
  return jnp.reshape(centred / (grouped.std(1, keepdims=True) + 1e-6), -1)


def nft_loss(
  process: Process,
  output: Array,
  old: Array,
  corruption: Corruption,
  t: Float[Array, "batch frames"],
  advantage: Float[Array, "batch"],
  beta: float = 1.0,
) -> Array:
  """The loss of DiffusionNFT for each value (arXiv 2509.16117, eq. 5).

    r loss((1 - beta) old + beta output) + (1 - r) loss((1 + beta) old - beta output)

  with r = 1/2 + A/2, clipped to [0, 1]. At output = old its gradient is A beta times the gradient of the
  process's loss (A clipped to [-1, 1]). A step therefore moves the model towards samples whose reward is
  above the mean of their group, and away from the others.

  Args:
    process: the noising process, which defines the loss.
    output: the model's output for the noised samples.
    old: the output of the model that the samples were drawn from.
    corruption: the corruption of the samples.
    t: the time of each frame.
    advantage: the advantage A of each sample.
    beta: how far the implicit better and worse models lie from the old one.
  """
  old = jax.lax.stop_gradient(old)
  r = jnp.clip((1 + advantage) / 2, 0, 1)
  r = jnp.reshape(r, (-1,) + (1,) * (output.ndim - 1))
  better = process.loss((1 - beta) * old + beta * output, corruption, t)
  worse = process.loss((1 + beta) * old - beta * output, corruption, t)
  return r * better + (1 - r) * worse
