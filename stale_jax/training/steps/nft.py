"""Trains a causal model with a reward for movies that keep moving (`objectives/grpo.py`).

A step samples a group of movies for each of several captions, with the averaged parameters and the same
program as generation, and computes their rewards. It noises each movie several times, as ordinary training
does, and moves the parameters towards movies whose reward is above the mean of their group and away from
movies whose reward is below it. The averaged parameters are the "old" policy of DiffusionNFT (arXiv
2509.16117), and their moving average is its soft update.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.objectives import advantages, global_speeds, motion_reward, nft_loss
from stale_jax.processes import clip_times, corrupt
from stale_jax.sampling import Causal
from stale_jax.sampling.guiding import guidance_of
from stale_jax.training.initial import initializer
from stale_jax.training.state import State, drawn_state, update
from stale_jax.training.steps.rollouts import check_rollout, movies, rollout_grid, rollout_programs
from stale_jax.training.steps.train_step import Metrics, Needs

# Number of clips of the data set on which the usual speed is measured.
_REAL = 64
# Number of noised copies of each sampled movie. Sampling a movie takes sixteen or more evaluations of the
# model; training on a noised copy takes two.
_NOISINGS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRPO:
  """Settings of training with a reward for motion.

  Attributes:
    group: movies per caption; `training.batch` must be a multiple of it.
    kappa: weight of the speed in the reward; see `objectives.motion_reward`.
    beta: distance of the implicit better and worse models from the model that sampled the movies; see
      `objectives.nft_loss`.
  """

  group: int = number(8, least=2)
  kappa: float = number(0.2, least=-1000, most=1000)
  beta: float = number(1.0, least=-1000, most=1000)

  def __post_init__(self):
    check_fields(self, "grpo")

  def check(self, experiment) -> None:
    """See `StepSettings`."""
    check_rollout(experiment, "grpo")
    settings = experiment.training.settings
    if experiment.diffusion.sampling.solver == "consistency":
      raise UserError(
        "grpo: sampling.solver='consistency' does not fit, since the model must predict the mean of x0; use "
        "another solver."
      )
    if "sight" not in [sense.name for sense in experiment.data.senses]:
      raise UserError("grpo: the reward measures visible motion; add sight to senses.")
    if settings.batch % self.group or settings.accumulate > 1:
      raise UserError(
        f"grpo: training.batch={settings.batch} must be a multiple of grpo.group={self.group}, and "
        "training.accumulate must be 1."
      )

  def build(self, experiment) -> "NftStep":
    """See `StepSettings`."""
    training = experiment.training
    times, noise = rollout_grid(experiment, training.settings.batch)
    return NftStep(
      experiment=experiment,
      settings=self,
      draw=initializer(experiment),
      times=times,
      noise=noise,
      programs=rollout_programs(experiment, guided=experiment.diffusion.sampling.is_guided),
      usual_speed=measure_usual_speed(experiment.data.source),
      optimizer=training.optimizer.build(training.settings.steps, experiment.network.declared),
    )


def measure_usual_speed(source) -> float:
  """Mean speed of the whole picture in the first 64 clips of `source`, in pixels per frame."""
  return float(global_speeds(jnp.stack([source[i]["clip"]["sight"] for i in range(_REAL)])).mean())


@dataclasses.dataclass(frozen=True, kw_only=True)
class NftStep:
  """The `TrainStep` with a reward for motion.

  From a batch of n captions, only the first n / group are used, each for a group of movies: n movies in all.

  Attributes:
    experiment: the experiment.
    settings: settings of the reward.
    draw: PRNG key -> initial parameters.
    programs: the programs of a rollout.
    times, noise: see `rollout_grid`.
    usual_speed: mean speed of real clips, in pixels per frame.
    optimizer: the optimizer.
    needs: empty: only captions are read.
  """

  experiment: Any
  settings: GRPO
  draw: Callable[[PRNGKeyArray], Any]
  programs: Causal
  times: Float[Array, "grid batch frames"]
  noise: Float[Array, "batch"]
  usual_speed: float
  optimizer: optax.GradientTransformation
  needs: Needs = frozenset()

  def init(self, key: PRNGKeyArray) -> State:
    """See `TrainStep`."""
    return drawn_state(self.draw, self.optimizer, self.experiment.training.ema, key)

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`."""
    return state.replace(params=params, ema=params)

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    settings, frames = self.settings, self.experiment.data.source.frames
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    key_roll, key_time, key_noise = jax.random.split(key, 3)
    captions = batch.context.text[: len(batch.context.text) // settings.group]
    context = Context(text=jnp.repeat(captions, settings.group, 0))
    clip = self._movies(state.ema, context, key_roll)
    speed = global_speeds(clip["sight"])
    reward = motion_reward(speed, self.usual_speed, frames - 1, settings.kappa)
    movies_and_advantages = clip, advantages(reward, settings.group), context
    loss = self._loss(state.ema, *jax.tree.map(_repeat, movies_and_advantages), key_time, key_noise)
    value, grads = jax.value_and_grad(loss)(state.params)
    metrics = {"loss": value, "reward": reward.mean(), "speed": speed.mean(), "variance": speed.var(1).mean()}
    return update(state, grads, value, self.optimizer, self.experiment.training.ema), metrics

  def _movies(self, params, context: Context, key: PRNGKeyArray) -> Clip:
    """Samples one movie per caption, as long as a training clip, with the same program as generation."""
    diffusion, frames = self.experiment.diffusion, self.experiment.data.source.frames
    sampling, chunks = diffusion.sampling, frames // diffusion.rollout.chunk
    guidance = guidance_of(sampling, frames)
    keys = jax.random.split(key, len(context.text))
    return movies(self.programs, params, self.times, context, self.noise, keys, chunks, guidance)

  def _loss(self, old_params, clip: Clip, advantage, context: Context, key_time, key_noise):
    """Returns the loss as a function of the parameters (see `nft_loss`).

    Args:
      old_params: the parameters that the movies were sampled with.
      clip: the movies.
      advantage: the advantage of each movie, [batch]; see `objectives.advantages`.
      context: the captions.
      key_time: PRNG key of the times.
      key_noise: PRNG key of the noise.
    """
    network, diffusion = self.experiment.network, self.experiment.diffusion
    process, beta = diffusion.process, self.settings.beta
    weights = self.experiment.training.objective.sense_weights
    t = clip_times(key_time, diffusion.time_sampler, len(advantage), self.experiment.data.source.frames)
    corruption = corrupt(process, clip, t, key_noise)
    x_t = {name: c.x_t for name, c in corruption.items()}
    old = network.apply(old_params, x_t, t, context)

    def loss(params):
      output = network.apply(params, x_t, t, context)
      losses = {n: nft_loss(process, output[n], old[n], corruption[n], t, advantage, beta) for n in output}
      return sum(weights.get(name, 1.0) * x.mean() for name, x in losses.items())

    return loss


def _repeat(x):
  return jnp.tile(x, (_NOISINGS,) + (1,) * (x.ndim - 1))
