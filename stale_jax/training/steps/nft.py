"""A causal model learns from its own movies which of them keep moving (`objectives/grpo.py`).

A step makes a group of movies of each of some captions by the averaged parameters, as generation does,
rewards them, noises them as training always does, but several times each, and moves the parameters toward
those above their group's mean and away from those below. The average follows, and is what the next step's
movies are made by: the "old" policy of DiffusionNFT (arXiv 2509.16117), whose soft update it is.
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
from stale_jax.training.initial import initializer
from stale_jax.training.state import State, drawn_state, update
from stale_jax.training.steps.rollouts import check_rollout, movies, rollout_grid, rollout_programs
from stale_jax.training.steps.train_step import Metrics, Needs

_REAL = 64  # Real clips on which the usual speed is measured.
_NOISINGS = 4  # Of each movie: to make it costs sixteen evaluations of the model and more, to noise it two.


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRPO:
  """How motion is rewarded.

  Attributes:
    group: movies of one caption; `training.batch` is a multiple of it.
    kappa: weight of the reward's second term; see `motion_reward`.
    beta: see `nft_loss`.
  """

  group: int = number(8, least=2)
  kappa: float = number(0.2)
  beta: float = number(1.0)

  def __post_init__(self):
    check_fields(self, "grpo")

  def check(self, experiment) -> None:
    """See `StepSettings`."""
    check_rollout(experiment, "grpo")
    settings = experiment.training.settings
    if experiment.diffusion.sampling.solver == "consistency":
      raise UserError("grpo is for models that predict means: no sampling.solver='consistency'.")
    if "sight" not in [sense.name for sense in experiment.data.senses]:
      raise UserError("grpo rewards motion that is seen: the senses lack sight.")
    if settings.batch % self.group or settings.accumulate > 1:
      raise UserError(
        f"grpo: training.batch={settings.batch} must be a multiple of grpo.group={self.group}, in one part."
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
      programs=rollout_programs(experiment, guided=experiment.diffusion.sampling.guidance != 1),
      usual_speed=measure_usual_speed(experiment.data.source),
      optimizer=training.optimizer.build(training.settings.steps, experiment.network.declared),
    )


def measure_usual_speed(source) -> float:
  """Mean speed of the first real clips of `source`, in pixels per frame."""
  return float(global_speeds(jnp.stack([source[i]["clip"]["sight"] for i in range(_REAL)])).mean())


@dataclasses.dataclass(frozen=True, kw_only=True)
class NftStep:
  """The `TrainStep` of rewarded motion. Each of the first captions of a batch is used for a whole group.

  Attributes:
    experiment: what is trained.
    settings: of the reward.
    draw: key -> parameters.
    programs: the rollout.
    times, noise: see `rollout_grid`.
    usual_speed: of real clips, in pixels per frame.
    optimizer: turns gradients into updates.
    needs: nothing but captions.
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
    rewarded = clip, advantages(reward, settings.group), context
    loss = self._loss(state.ema, *jax.tree.map(_often, rewarded), key_time, key_noise)
    value, grads = jax.value_and_grad(loss)(state.params)
    metrics = {"loss": value, "reward": reward.mean(), "speed": speed.mean(), "variance": speed.var(1).mean()}
    return update(state, grads, value, self.optimizer, self.experiment.training.ema), metrics

  def _movies(self, params, context: Context, key: PRNGKeyArray) -> Clip:
    """A movie of each caption, of a clip's length, as generation makes it."""
    diffusion, frames = self.experiment.diffusion, self.experiment.data.source.frames
    sampling, chunks = diffusion.sampling, frames // diffusion.rollout.chunk
    guidance = jnp.float32(sampling.guidance), jnp.asarray(sampling.interval, jnp.float32)
    keys = jax.random.split(key, len(context.text))
    return movies(self.programs, params, self.times, context, self.noise, keys, chunks, guidance)

  def _loss(self, old_params, clip: Clip, advantage, context: Context, key_time, key_noise):
    """parameters -> how well they follow the `advantage` of each clip over what `old_params` say of it."""
    network, diffusion = self.experiment.network, self.experiment.diffusion
    process, beta = diffusion.process, self.settings.beta
    weights = self.experiment.training.objective.sense_weights
    t = clip_times(key_time, diffusion.time_sampler, len(advantage), self.experiment.data.source.frames)
    corruption = corrupt(process, clip, t, key_noise)
    x_t = {name: c.x_t for name, c in corruption.items()}
    old = network.apply(old_params, x_t, t, context)

    def loss(params):
      output = network.apply(params, x_t, t, context)
      each = {n: nft_loss(process, output[n], old[n], corruption[n], t, advantage, beta) for n in output}
      return sum(weights.get(name, 1.0) * x.mean() for name, x in each.items())

    return loss


def _often(x):
  return jnp.tile(x, (_NOISINGS,) + (1,) * (x.ndim - 1))
