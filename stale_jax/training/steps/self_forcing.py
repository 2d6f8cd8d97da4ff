"""Self-Forcing: trains a causal few-step student on its own rollouts (arXiv 2506.08009).

A model trained to continue real frames has to continue its own frames in a rollout, and its errors
accumulate. The student is therefore trained within the same rollout as in generation
(`training.steps.rollouts`): chunk by chunk, with its cache, from noise. Distribution matching compares its
clips with real clips (`objectives/dmd.py`). `training.init_from` is the teacher; student and critic start
from its parameters.

An iteration draws one *exit step* (`training.steps.rollouts`) for all chunks. The solver is "consistency",
which noises the estimate of a chunk anew after every step.

*Self-Forcing++* (arXiv 2510.02283) trains in the same way within longer movies. The rollout has `frames`
frames, many more than a training clip; a window with the length of a clip is drawn uniformly from it. The
loss treats the window as a clip and noises it with the same process ("backward noise initialisation"). Frames
after the window do not influence it and are not generated.
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
  """Settings of the training of a student. The sections `sampling` and `rollout` define its rollout.

  Attributes:
    frames: frames of a rollout, from which a window with the length of a clip is drawn for training; 0: the
      length of a clip.
    every: the student is updated at every `every`-th step, the critic at every step.
    guidance, interval: scale and time interval of the teacher's classifier-free guidance.
  """

  frames: int = number(0, least=0)
  every: int = number(5, least=1)
  guidance: float = number(3.0, least=-1000, most=1000)
  interval: tuple[float, float] = number((0.0, 1.0), least=0, most=1)

  def __post_init__(self):
    check_fields(self, "self_forcing")

  def check(self, experiment) -> None:
    """See `StepSettings`."""
    check_rollout(experiment, "self_forcing", ("self_forcing.frames", self.frames))
    diffusion, settings = experiment.diffusion, experiment.training.settings
    if diffusion.sampling.solver != "consistency" or diffusion.sampling.is_guided:
      raise UserError(
        "self_forcing: the student is trained on its own samples, drawn as in generation; set "
        "sampling.solver='consistency' and sampling.guidance=1. (self_forcing.guidance is the teacher's.)"
      )
    if not settings.init_from:
      raise UserError("self_forcing: set training.init_from to the teacher's weights.")
    others = experiment.network.labels, diffusion.artv, diffusion.first.share
    if any(others) or settings.accumulate > 1:
      raise UserError(
        "self_forcing does not support cringe, artv, first.share or training.accumulate; remove them."
      )
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
class TeacherAndCritic:
  """The two models whose difference is the gradient of the student (`objectives/dmd.py`).

  Attributes:
    teacher: parameters of the model that was trained on real clips; they do not change.
    critic: parameters of the model that is trained on the student's clips.
    opt_state: state of the critic's optimizer.
  """

  teacher: Any
  critic: Any
  opt_state: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfForcingStep:
  """The `TrainStep` of a student; `State.extra` is a `TeacherAndCritic`.

  Attributes:
    experiment: the experiment.
    settings: settings of the training.
    draw: PRNG key -> initial parameters.
    programs: the programs of the student's rollout.
    times, noise: see `rollout_grid`.
    objective: the objective of the critic.
    time_sampler: draws the times that clips are noised to for teacher and critic, one per clip.
    optimizer: the optimizer of the student.
    critic_optimizer: the optimizer of the critic.
    needs: empty: only captions are read.
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
    return state.replace(extra=TeacherAndCritic(teacher=state.params, critic=state.params, opt_state=critic))

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`; teacher and critic start from the same parameters."""
    models = state.extra.replace(teacher=params, critic=params)
    return state.replace(params=params, ema=params, extra=models)

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    key_exit, key_start, key_roll, key_critic, key_match = jax.random.split(key, 5)
    context = Context(text=batch.context.text)
    exits, t = self._roll(state.params, context, key_exit, key_start, key_roll)
    generated = batch.replace(clip=joined(exits.clip), context=context)
    models, metrics, critic_grads = self._update_critic(state.extra, generated, key_critic)

    def update_student(state):
      loss_arguments = state.extra, exits, t, context, key_match
      grads, student_metrics = jax.grad(self._student_loss, has_aux=True)(state.params, *loss_arguments)
      updated = descend(state, grads, self.optimizer, self.experiment.training.ema)
      return updated, optax.tree.norm(grads), student_metrics

    def keep_student(state):
      return state, jnp.zeros(()), {"dmd": jnp.zeros(())}

    is_due = (state.step + 1) % self.settings.every == 0
    new, norm, student_metrics = jax.lax.cond(is_due, update_student, keep_student, state)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(optax.tree.norm(critic_grads)) & jnp.isfinite(norm)
    new = accept(new.replace(extra=models), state, finite)
    return new, {**metrics, **student_metrics, "gradient_norm": norm}

  def _roll(self, params, context: Context, key_exit, key_start, key_roll) -> tuple[Exits, jax.Array]:
    """Rolls out movies without gradient.

    Returns:
      The exit steps of a window of each movie, and the times of these steps, [batch, frames of a chunk].
    """
    diffusion, frames = self.experiment.diffusion, self.experiment.data.source.frames
    chunk = diffusion.rollout.chunk
    window, chunks = frames // chunk, max(self.settings.frames or frames, frames) // chunk
    exit_step = jax.random.randint(key_exit, (), 0, diffusion.sampling.steps)
    start = window_start(key_start, chunks, window) if chunks > window else None
    keys = jax.random.split(key_roll, len(context.text))
    arguments = self.programs, params, self.times, exit_step, context, self.noise, keys, start, window
    return roll(*arguments)[0], self.times[exit_step]

  def _denoiser(self, params):
    """Returns a denoiser of whole clips. It scans over the blocks, so that only one block is compiled."""
    network = self.experiment.network.clone(scan=True)
    return lambda clip, t, context: network.apply(params, clip, t, context)

  def _update_critic(
    self, models: TeacherAndCritic, generated: Batch, key
  ) -> tuple[TeacherAndCritic, Metrics, Any]:
    """Trains the critic on clips of the student.

    Returns:
      The models with the new critic, the critic's metrics, and its gradient.
    """
    process = self.experiment.diffusion.process

    def loss(critic):
      prediction = predict(self._denoiser(critic), process, self.time_sampler, generated, key)
      metrics = self.objective(prediction, generated)
      return metrics["loss"], metrics

    grads, metrics = jax.grad(loss, has_aux=True)(models.critic)
    updates, opt_state = self.critic_optimizer.update(grads, models.opt_state, models.critic)
    critic = optax.apply_updates(models.critic, updates)
    return models.replace(critic=critic, opt_state=opt_state), metrics, grads

  def _student_loss(self, params, models: TeacherAndCritic, exits: Exits, t, context: Context, key):
    """Returns (distribution-matching loss of the student's clips, metrics)."""
    process, settings = self.experiment.diffusion.process, self.settings
    clip = taken_again(self.programs, params, exits, t, context)
    key_time, key_noise = jax.random.split(key)
    t = clip_times(key_time, self.time_sampler, len(context.text), self.experiment.data.source.frames)
    noised = corrupt(process, jax.lax.stop_gradient(clip), t, key_noise)
    x_t = {name: c.x_t for name, c in noised.items()}
    teacher = classifier_free(self._denoiser(models.teacher), settings.guidance, settings.interval)
    real, fake = (
      {name: process.denoised(o, x_t[name], t) for name, o in denoiser(x_t, t, context).items()}
      for denoiser in (teacher, self._denoiser(models.critic))
    )
    step = jax.lax.stop_gradient(dmd_step(clip, fake, real))
    loss = dmd_loss(clip, step, self.experiment.training.objective.sense_weights)
    return loss, {"dmd": sum(jnp.mean(jnp.abs(x)) for x in step.values()) / len(step)}


def student_programs(system: System) -> Causal:
  """Builds the programs of the student's rollout, as in generation: without guidance."""
  return rollout_programs(system, guided=False)
