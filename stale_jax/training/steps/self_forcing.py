"""Self-Forcing: a causal student of few steps, trained on what it makes itself (arXiv 2506.08009).

A model that learnt to go on from real frames meets its own in a rollout, and its errors feed on one another.
So the student is trained within the very rollout that it will be run in (`training.steps.rollouts`): frame
after frame, with its cache, from noise. What it made is held against real clips as a whole, by distribution
matching (`objectives/dmd.py`). `training.init_from` is the teacher; student and critic begin as it does.

An iteration draws one *exit step* for all chunks; each time is noised anew.

*Self-Forcing++* (arXiv 2510.02283) is the same within longer movies: of `frames`, many more than a clip of
training, a window of the clip's length is drawn, evenly, and is judged as a clip, noised by the same law
("backward noise initialisation"). No frame after it can change it, so none is made.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Context
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.objectives import Objective, dmd_loss, dmd_step, predict
from stale_jax.processes import TimeSampler, clip_times, corrupt
from stale_jax.sampling import Causal, classifier_free
from stale_jax.system import System
from stale_jax.training.initial import initializer
from stale_jax.training.state import State, accept, descend, drawn_state
from stale_jax.training.steps.rollouts import (
  Exits,
  check_rollout,
  joined,
  roll,
  rollout_grid,
  rollout_programs,
  taken_again,
  window_start,
)
from stale_jax.training.steps.train_step import Metrics, Needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfForcing:
  """How a student is trained; `sampling` and `rollout` of its config say how it is sampled from.

  Attributes:
    frames: of a movie of which a window is judged; 0: as many as a clip has.
    every: the critic is updated at every step, the student at every `every`-th.
    guidance, interval: of the teacher.
  """

  frames: int = number(0, least=0)
  every: int = number(5, least=1)
  guidance: float = number(3.0)
  interval: tuple[float, float] = number((0.0, 1.0), least=0, most=1)

  def __post_init__(self):
    check_fields(self, "self_forcing")

  def check(self, experiment) -> None:
    """See `StepSettings`."""
    check_rollout(experiment, "self_forcing", ("self_forcing.frames", self.frames))
    diffusion, settings = experiment.diffusion, experiment.training.settings
    if diffusion.sampling.solver != "consistency" or diffusion.sampling.guidance != 1:
      raise UserError(
        "self_forcing: the student is sampled from as it is trained; set sampling.solver='consistency' and "
        "sampling.guidance=1. (self_forcing.guidance is the teacher's.)"
      )
    if not settings.init_from:
      raise UserError("self_forcing: training.init_from, the teacher, is missing.")
    others = experiment.network.labels, diffusion.artv, diffusion.first.share
    if any(others) or settings.accumulate > 1:
      raise UserError("self_forcing: leave cringe, artv, first and training.accumulate out.")
    if not diffusion.process.mixes_noise:
      raise UserError("self_forcing: the process must mix data with noise; set process.name='uniform_flow'.")
    student_programs(experiment)

  def build(self, experiment) -> "SelfForcingStep":
    """See `StepSettings`."""
    training = experiment.training
    declared = experiment.network.declared
    times, noise = rollout_grid(experiment, training.settings.batch)
    return SelfForcingStep(
      experiment=experiment,
      settings=self,
      draw=initializer(experiment),
      times=times,
      noise=noise,
      programs=student_programs(experiment),
      objective=training.objective.measured(experiment.data.source),
      time_sampler=dataclasses.replace(experiment.diffusion.time_sampler, independent=False),
      optimizer=training.optimizer.build(training.settings.steps // self.every, declared),
      critic_optimizer=training.optimizer.build(training.settings.steps, declared),
    )


@flax.struct.dataclass
class Judges:
  """The two models whose difference teaches a student (`objectives/dmd.py`).

  Attributes:
    teacher: parameters of the one that knows real clips, which stay as they are.
    critic: parameters of the one that follows the student's clips.
    opt_state: the critic's optimizer's.
  """

  teacher: Any
  critic: Any
  opt_state: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfForcingStep:
  """The `TrainStep` of a student; `State.extra` holds its `Judges`.

  Attributes:
    experiment: what is trained.
    settings: of the training.
    draw: key -> parameters.
    programs: the student's rollout.
    times, noise: see `rollout_grid`.
    objective: the critic's.
    time_sampler: of the times that clips are judged at, one per clip.
    optimizer: the student's.
    critic_optimizer: the critic's.
    needs: nothing but captions.
  """

  experiment: Any
  settings: SelfForcing
  draw: Callable[[PRNGKeyArray], Any]
  programs: Causal
  times: Float[Array, "grid batch frames"]
  noise: Float[Array, "batch"]
  objective: Objective
  time_sampler: TimeSampler
  optimizer: optax.GradientTransformation
  critic_optimizer: optax.GradientTransformation
  needs: Needs = frozenset()

  def init(self, key: PRNGKeyArray) -> State:
    """See `TrainStep`."""
    state = drawn_state(self.draw, self.optimizer, self.experiment.training.ema, key)
    critic = self.critic_optimizer.init(state.params)
    return state.replace(extra=Judges(teacher=state.params, critic=state.params, opt_state=critic))

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`; the judges begin from the same parameters."""
    judges = state.extra.replace(teacher=params, critic=params)
    return state.replace(params=params, ema=params, extra=judges)

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    key_exit, key_start, key_roll, key_critic, key_match = jax.random.split(key, 5)
    context = Context(text=batch.context.text)
    exits, t = self._roll(state.params, context, key_exit, key_start, key_roll)
    made = batch.replace(clip=joined(exits.clip), context=context)
    judges, metrics, critic_grads = self._follow(state.extra, made, key_critic)

    def teach(state):
      given = state.extra, exits, t, context, key_match
      grads, told = jax.grad(self._match, has_aux=True)(state.params, *given)
      taught = descend(state, grads, self.optimizer, self.experiment.training.ema)
      return taught, optax.tree.norm(grads), told

    def wait(state):
      return state, jnp.zeros(()), {"dmd": jnp.zeros(())}

    due = (state.step + 1) % self.settings.every == 0
    new, norm, told = jax.lax.cond(due, teach, wait, state)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(optax.tree.norm(critic_grads)) & jnp.isfinite(norm)
    new = accept(new.replace(extra=judges), state, finite)
    return new, {**metrics, **told, "gradient_norm": norm}

  def _roll(self, params, context: Context, key_exit, key_start, key_roll) -> tuple[Exits, jax.Array]:
    """(the exit steps of a window of movies, their times)."""
    diffusion, frames = self.experiment.diffusion, self.experiment.data.source.frames
    chunk = diffusion.rollout.chunk
    window, chunks = frames // chunk, max(self.settings.frames or frames, frames) // chunk
    exit_step = jax.random.randint(key_exit, (), 0, diffusion.sampling.steps)
    start = window_start(key_start, chunks, window) if chunks > window else None
    keys = jax.random.split(key_roll, len(context.text))
    rolled = self.programs, params, self.times, exit_step, context, self.noise, keys, start, window
    return roll(*rolled)[0], self.times[exit_step]

  def _judge(self, params):
    """A denoiser of whole clips. One program of a block runs through them all."""
    network = self.experiment.network.clone(scan=True)
    return lambda clip, t, context: network.apply(params, clip, t, context)

  def _follow(self, judges: Judges, made: Batch, key) -> tuple[Judges, Metrics, Any]:
    """(the judges after the critic has learnt from what the student made, metrics, the critic's gradient)."""
    process = self.experiment.diffusion.process

    def loss(critic):
      prediction = predict(self._judge(critic), process, self.time_sampler, made, key)
      metrics = self.objective(prediction, made)
      return metrics["loss"], metrics

    grads, metrics = jax.grad(loss, has_aux=True)(judges.critic)
    updates, opt_state = self.critic_optimizer.update(grads, judges.opt_state, judges.critic)
    critic = optax.apply_updates(judges.critic, updates)
    return judges.replace(critic=critic, opt_state=opt_state), metrics, grads

  def _match(self, params, judges: Judges, exits: Exits, t, context: Context, key):
    """(the student's loss, metrics): distribution matching of its clips."""
    process, settings = self.experiment.diffusion.process, self.settings
    clip = taken_again(self.programs, params, exits, t, context)
    key_time, key_noise = jax.random.split(key)
    t = clip_times(key_time, self.time_sampler, len(context.text), self.experiment.data.source.frames)
    noised = corrupt(process, jax.lax.stop_gradient(clip), t, key_noise)
    x_t = {name: c.x_t for name, c in noised.items()}
    teacher = classifier_free(self._judge(judges.teacher), settings.guidance, settings.interval)
    real, fake = (
      {name: process.denoised(o, x_t[name], t) for name, o in judge(x_t, t, context).items()}
      for judge in (teacher, self._judge(judges.critic))
    )
    away = jax.lax.stop_gradient(dmd_step(clip, fake, real))
    loss = dmd_loss(clip, away, self.experiment.training.objective.sense_weights)
    return loss, {"dmd": sum(jnp.mean(jnp.abs(x)) for x in away.values()) / len(away)}


def student_programs(system: System) -> Causal:
  """The programs that generation runs the student by."""
  return rollout_programs(system, guided=False)
