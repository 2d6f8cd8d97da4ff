"""Robustness to the sampler's errors: training corrupts the network's input more than the process does.

A sampler feeds the network its own errors, which ordinary training never shows it (exposure bias). The effect
grows with few sampling steps and in long rollouts. There are two remedies:

  noise  the network's input contains extra noise, while its target stays the same (input perturbation:
         Ning et al., arXiv 2301.11706, with gamma = .1).
  drop   whole tokens are masked out of attention (`models/perturbation.py`).
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.fields import check_fields, number
from stale_jax.processes import Process, corrupt


@dataclasses.dataclass(frozen=True, kw_only=True)
class MessUp:
  """Extra corruption of the network's inputs in training. Sampling is not affected.

  Attributes:
    noise: gamma, the scale of the extra noise: x_t + gamma n_t, where n_t is the centre of the box (0) noised
      to time t. For flows this is Ning's (1-t) x0 + t (e + gamma e'); for `reflected`, n_t is at most
      uniform. Clean frames stay clean.
    drop: share of the sense tokens to which no token attends, drawn for each token of each example.
  """

  noise: float = number(0.0, least=0, most=1000)
  drop: float = number(0.0, least=0, below=1)

  def __post_init__(self):
    check_fields(self, "messup")

  def perturb(self, denoiser, process: Process, key: PRNGKeyArray):
    """Wraps a denoiser, (clip, times, context) -> outputs, so that extra noise is added to the noised clip.

    The result is projected back to the process's domain (`Process.project`). Only the network's input
    changes: the loss still uses the original x_t and target.
    """
    if not self.noise:
      return denoiser

    def perturbed(clip: Clip, t, context: Context):
      grey = {name: jnp.zeros_like(x) for name, x in clip.items()}
      noise = corrupt(process, grey, t, key)
      noisier = {name: process.project(x + self.noise * noise[name].x_t) for name, x in clip.items()}
      return denoiser(noisier, t, context)

    return perturbed
