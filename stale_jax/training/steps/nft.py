"""A causal model learns from its own movies which of them keep moving (`objectives/grpo.py`).

A step makes a group of movies of each of some captions by the averaged parameters, as generation does,
rewards them, noises them as training always does, but several times each, and moves the parameters toward
those above their group's mean and away from those below. The average follows, and is what the next step's
movies are made by: the "old" policy of DiffusionNFT (arXiv 2509.16117), whose soft update it is.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.construct import at_least
from stale_jax.errors import UserError
from stale_jax.objectives import advantages, corrupt, motion_reward, nft_loss, speeds
from stale_jax.processes import clip_times
from stale_jax.sampling import Causal, causal_programs, fold
from stale_jax.training.state import State, update
from stale_jax.training.steps.self_forcing import check_rollout, joined

_REAL = 64  # Clips, whose speed is usual.
_NOISINGS = 4  # Of each movie: to make it costs sixteen evaluations of the model and more, to noise it two.


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRPO:
  """How motion is rewarded.

  Attributes:
    group: movies of one caption; `training.batch` is a multiple of it.
    kappa: of the reward's second term; see `motion_reward`.
    beta: see `nft_loss`.
  """

  group: int = 8
  kappa: float = 0.2
  beta: float = 1.0

  def __post_init__(self):
    at_least(2, "grpo", group=self.group)


def movies(
  programs: Causal, params, times, context: Context, noise, keys: PRNGKeyArray, chunks: int, guidance
) -> Clip:
  """So many chunks of a movie a key, as generation makes them."""

  def one(cache, number):
    own = fold(keys, number)
    clip, cache = programs.advance(params, cache, times, context, noise, own, *guidance, len(times) - 1)
    return cache, clip

  return joined(jax.lax.scan(one, programs.start(params, times, context, keys), jnp.arange(chunks))[1])


def make_grpo_step(experiment, optimizer):
  """(state, batch) -> (state, metrics): of the batch only the first captions are used, each for a group."""
  grpo, process, sampling = (
    experiment.training.grpo,
    experiment.diffusion.process,
    experiment.diffusion.sampling,
  )
  frames, size, model = experiment.data.source.frames, experiment.training.settings.batch, experiment.network
  parts = model, process, experiment.data.senses, experiment.diffusion.rollout, frames, sampling.solver
  programs = causal_programs(*parts, guided=sampling.guidance != 1)
  times = dataclasses.replace(sampling, batch=size).times(experiment.diffusion.rollout.chunk)
  noise = jnp.full(size, experiment.diffusion.rollout.noise, jnp.float32)
  guidance = jnp.float32(sampling.guidance), jnp.asarray(sampling.interval, jnp.float32)
  weights = experiment.training.objective.terms[0].weights
  real = jnp.stack([experiment.data.source[i]["clip"]["sight"] for i in range(_REAL)])
  usual = float(speeds(real).mean())

  def step(state: State, batch: Batch):
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    key_roll, key_time, key_noise = jax.random.split(key, 3)
    context = Context(text=jnp.repeat(batch.context.text[: size // grpo.group], grpo.group, 0))
    keys, chunks = jax.random.split(key_roll, size), frames // experiment.diffusion.rollout.chunk
    clip = movies(programs, state.ema, times, context, noise, keys, chunks, guidance)
    speed = speeds(clip["sight"])
    reward = motion_reward(speed, usual, frames - 1, grpo.kappa)
    advantage = advantages(reward, grpo.group)
    clip, advantage, context = jax.tree.map(_often, (clip, advantage, context))
    t = clip_times(key_time, experiment.diffusion.time_sampler, len(advantage), frames)
    corruption = corrupt(process, clip, t, key_noise)
    x_t = {name: c.x_t for name, c in corruption.items()}
    old = model.apply(state.ema, x_t, t, context)

    def loss(params):
      output = model.apply(params, x_t, t, context)
      each = {n: nft_loss(process, output[n], old[n], corruption[n], t, advantage, grpo.beta) for n in output}
      return sum(weights.get(name, 1.0) * x.mean() for name, x in each.items())

    value, grads = jax.value_and_grad(loss)(state.params)
    metrics = {"loss": value, "reward": reward.mean(), "speed": speed.mean(), "variance": speed.var(1).mean()}
    return update(state, grads, value, optimizer, experiment.training.ema), metrics

  return step


def _often(x):
  return jnp.tile(x, (_NOISINGS,) + (1,) * (x.ndim - 1))


def check_grpo(experiment) -> None:
  """Raises UserError if the rest of the config does not fit."""
  grpo, batch = experiment.training.grpo, experiment.training.settings.batch
  check_rollout(experiment, "grpo")
  if experiment.training.self_forcing or experiment.diffusion.sampling.solver == "consistency":
    raise UserError("grpo is for models that tell means: no self_forcing, no sampling.solver='consistency'.")
  if "sight" not in [sense.name for sense in experiment.data.senses]:
    raise UserError("grpo rewards motion that is seen: the senses lack sight.")
  if batch % grpo.group or experiment.training.settings.accumulate > 1:
    raise UserError(
      f"grpo: training.batch={batch} must be a multiple of grpo.group={grpo.group}, in one part."
    )
