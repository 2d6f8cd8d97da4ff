"""Tunes the distribution of a model's initial noise to a reward (FIND; `sampling.search`)."""

from collections.abc import Sequence

import jax

from stale_jax.checks import check_generates, check_prompts, keys_of
from stale_jax.evaluation.rewards import Reward
from stale_jax.pipeline import Model
from stale_jax.sampling.noise_prior import Coarse, NoisePrior
from stale_jax.sampling.search import Find, Found, search

_FIND, _COARSE = Find(), Coarse()


def find_prior(
  model: Model,
  prompts: Sequence[str],
  reward: Reward,
  seed: int = 0,
  *,
  settings: Find = _FIND,
  coarse: Coarse = _COARSE,
  **overrides,
) -> Found:
  """Tunes the distribution of the initial noise so that clips of `prompts` earn a greater reward.

  Args:
    model: a model with a probability-flow ODE, whose parameters stay as they are.
    prompts: prompts of the clips, in turn; "" for clips of any kind.
    reward: the reward of decoded clips.
    seed: the clips are made with the seeds from 2^20 `seed` on.
    settings: settings of the search.
    coarse: the subspace of the noise that is tuned.
    **overrides: settings of `Sampling` and `Rollout`, as for `Model.sample`.

  Raises:
    UserError: a prompt or setting is invalid, the model denoises tokens, or a reward is not finite.
  """
  check_generates(model.system, model.name)
  check_prompts(model.system, prompts, model.name)
  process, senses = model.system.diffusion.process, model.system.data.senses
  start = coarse.flat(senses, model.frames)
  start.check(process, senses, model.frames)

  def play(prior: NoisePrior, first: int, count: int):
    numbers = range(first, first + count)
    seeds = [(seed << 20) + number for number in numbers]
    texts = [prompts[number % len(prompts)] for number in numbers]
    clips = model.sample(texts, seeds, prior=prior, **overrides)
    return prior.coordinates(process, senses, keys_of(seeds)), reward(clips)

  return search(play, start, settings, jax.random.key(seed))
