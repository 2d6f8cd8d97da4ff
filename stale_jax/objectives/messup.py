"""Messing up on purpose: in training the network is shown worse than it will be asked to undo.

A sampler feeds the network its own mistakes, which training never showed it (exposure
bias), the more so in few steps and in long rollouts. Two remedies:

  noise  the network's input carries extra noise while its target stays (input perturbation:
         Ning et al., arXiv 2301.11706, with gamma = .1).
  drop   whole tokens are masked out of attention (models/perturbation.py).
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.fields import check_fields, number
from stale_jax.processes import Process, corrupt


@dataclasses.dataclass(frozen=True, kw_only=True)
class MessUp:
  """How much is messed up in training; nothing ever is in sampling.

  Attributes:
    noise: gamma, extra noise over the noise there is: x_t + gamma n_t, where n_t is what the
      process makes of the middle of the box by time t. For flows that is Ning's
      (1-t) x0 + t (e + gamma e'), for `reflected` at most the uniform. Clean frames stay clean.
    drop: share of sense tokens no token attends to, drawn an example and token.
  """

  noise: float = number(0.0, least=0)
  drop: float = number(0.0, least=0, below=1)

  def __post_init__(self):
    check_fields(self, "messup")

  def perturb(self, denoiser, process: Process, key: PRNGKeyArray):
    """`denoiser` (clip, times, context) -> outputs, shown a noisier clip, which stays where `project` says.

    The Corruption that the loss reads is not touched.
    """
    if not self.noise:
      return denoiser

    def perturbed(clip: Clip, t, context: Context) -> Clip:
      grey = {name: jnp.zeros_like(x) for name, x in clip.items()}
      noise = corrupt(process, grey, t, key)
      noisier = {name: process.project(x + self.noise * noise[name].x_t) for name, x in clip.items()}
      return denoiser(noisier, t, context)

    return perturbed
