"""The search for a distribution of initial noise that earns a greater reward (FIND, arXiv 2407.19453).

Repeatedly, a batch of noise is drawn from the newest distribution, the frozen sampler makes clips of it, and
these are rewarded. The reward predictor is fitted to all rewards so far, and a few clipped steps of PPO on
the last batches follow (`sampling.policy`). The search starts at the prior of the process, and ends when the
calls of the sampler are used up or the divergence from that prior would exceed its bound.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.sampling.noise_prior import NoisePrior
from stale_jax.sampling.policy import ascended, divergence, log_density
from stale_jax.sampling.reward_predictor import fitted, initial_predictor

# (distribution, index of the first draw, number of draws) -> (coordinates of the draws, their rewards).
Play = Callable[[NoisePrior, int, int], tuple[Clip, Float[np.ndarray, "draws"]]]
_PREDICTOR_STEPS = 50  # Per batch.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Find:
  """Settings of the search.

  Attributes:
    calls: number of clips to sample.
    batch: draws per distribution.
    buffer: number of last batches that the steps after a batch use.
    epochs: number of these steps.
    clip: see `sampling.policy.surrogate`.
    rate: step size of the natural gradient, for rewards of unit variance.
    most_kl: bound of the divergence from the prior of the process, in nats per coordinate.
  """

  calls: int = number(480, least=2)
  batch: int = number(32, least=2)
  buffer: int = number(4, least=1)
  epochs: int = number(4, least=1)
  clip: float = number(0.2, above=0)
  rate: float = number(0.6, above=0)
  most_kl: float = number(0.1, above=0)

  def __post_init__(self):
    check_fields(self, "find")
    if self.calls < self.batch:
      raise UserError(f"find.calls={self.calls} must be at least find.batch={self.batch}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
  """The result of a search.

  Attributes:
    prior: the tuned distribution.
    rewards: mean reward of each batch, in order; the first is that of the prior of the process.
    divergence: KL(prior || prior of the process), in nats per clip.
    calls: number of clips that were sampled.
  """

  prior: NoisePrior
  rewards: list[float]
  divergence: float
  calls: int


def search(play: Play, start: NoisePrior, settings: Find, key: PRNGKeyArray) -> Found:
  """Tunes `start`, which is the prior of the process, to the rewards of `play`.

  Raises:
    UserError: a reward is not finite.
  """
  most = settings.most_kl * sum(x.size for x in start.mean.values())
  prior, predictor = start, initial_predictor(key, len(_parameters(start)))
  batches: list[tuple[Clip, Array, Array, Array]] = []  # Coordinates, old density, parameters, rewards.
  for at in range(0, settings.calls - settings.batch + 1, settings.batch):
    c, rewards = play(prior, at, settings.batch)
    if not np.isfinite(rewards).all():
      raise UserError(f"the reward of a clip is {rewards[~np.isfinite(rewards)][0]}: it must be finite.")
    policies = jnp.tile(_parameters(prior), (settings.batch, 1))
    batches.append((c, log_density(prior, c), policies, jnp.asarray(rewards, jnp.float32)))
    every, first = jnp.concatenate([batch[3] for batch in batches]), batches[0][3]
    scale = jnp.maximum(jnp.std(every), 1e-6)
    seen = jnp.concatenate([batch[2] for batch in batches])
    predictor = fitted(predictor, seen, (every - first.mean()) / scale, _PREDICTOR_STEPS)
    recent = jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches[-settings.buffer :])
    c, log_old, policies, rewards = recent
    advantage = (rewards - first.mean()) / scale - predictor(policies)
    for _ in range(settings.epochs):
      new = _ascended(prior, c, log_old, advantage, settings.clip, settings.rate)
      if divergence(new, start) > most:
        return _found(prior, start, batches)
      prior = new
  return _found(prior, start, batches)


_ascended = jax.jit(ascended, static_argnums=(4, 5))


def _found(prior: NoisePrior, start: NoisePrior, batches) -> Found:
  means = [float(batch[3].mean()) for batch in batches]
  calls = sum(len(batch[3]) for batch in batches)
  return Found(prior=prior, rewards=means, divergence=float(divergence(prior, start)), calls=calls)


def _parameters(prior: NoisePrior) -> Float[Array, "size"]:
  """All parameters of a distribution as one vector."""
  return jnp.concatenate([x.ravel() for x in (*prior.mean.values(), *prior.log_std.values())])
