"""Reflow: training on pairs of noise and the clip that the teacher makes of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.objectives import Objective, Prediction
from stale_jax.processes import Corruption, Process, TimeSampler, clip_times
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solve import prior, solve
from stale_jax.training.ema import Ema
from stale_jax.training.initial import initializer
from stale_jax.training.state import State, drawn_state, update
from stale_jax.training.steps.train_step import Metrics, Needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reflow:
  """Straightens the paths of a rectified flow (Liu et al., arXiv 2209.03003, Alg. 1, "reflow").

  A rectified flow averages over the crossing lines between independent noise e and data x0, so its paths
  bend. Reflow trains the same model on the pairs (e, x0') that the *teacher's* ODE couples: the lines
  between them cross less, and the paths of the new flow are straighter (Theorem 3.7). Its marginals are those
  of the teacher, for any prior: x_t = (1 - t) x0' + t e has the teacher's marginals at t = 0 and 1. For
  `uniform_flow` the noise stays uniform, and each line lies in the box, which is convex.

  The teacher is the model of `training.init_from`, without guidance. Its pairs are made in each step, for the
  captions of the batch; clips are not read.

  Attributes:
    teacher_steps: Euler steps with which the teacher makes its clips.
    updates: number of updates of the student with each batch of pairs, at different times.
  """

  teacher_steps: int = number(20, least=1, most=100_000)
  updates: int = number(4, least=1, most=1000)

  def __post_init__(self):
    check_fields(self, "reflow")

  def check(self, experiment) -> None:
    """See `StepSettings`."""
    diffusion, settings = experiment.diffusion, experiment.training.settings
    if not diffusion.process.mixes_noise:
      raise UserError("reflow: the process must mix data with noise; set process.name='uniform_flow'.")
    if not settings.init_from:
      raise UserError("reflow: set training.init_from to the teacher's weights.")
    others = experiment.network.labels, diffusion.artv, diffusion.first.share, experiment.training.adapter
    if any(others) or settings.accumulate > 1:
      raise UserError(
        "reflow does not support cringe, artv, first.share, adapters or training.accumulate; remove them."
      )

  def build(self, experiment) -> "ReflowStep":
    """See `StepSettings`."""
    training, diffusion = experiment.training, experiment.diffusion
    sampling = dataclasses.replace(diffusion.sampling, steps=self.teacher_steps, zero_steps=0)
    source = experiment.data.source
    times = dataclasses.replace(sampling, batch=training.settings.batch).times(
      source.frames, experiment.data.senses
    )
    return ReflowStep(
      network=experiment.network,
      process=diffusion.process,
      senses=experiment.data.senses,
      time_sampler=dataclasses.replace(diffusion.time_sampler, independent=False),
      objective=training.objective.measured(source),
      times=times,
      updates=self.updates,
      condition_dropout=training.settings.caption_dropout,
      draw=initializer(experiment),
      optimizer=training.optimizer.build(training.settings.steps * self.updates, experiment.network.declared),
      ema=training.ema,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReflowStep:
  """The `TrainStep` of `Reflow`; `State.extra` is the parameters of the teacher, which do not change.

  Attributes:
    network, process, senses: parts of the model.
    time_sampler: draws the time of a point on each line.
    objective: the loss of a `Prediction`.
    times: the time grid of the teacher, [grid, batch, frames].
    updates: see `Reflow`.
    condition_dropout: the share of pairs without a caption.
    draw: PRNG key -> initial parameters.
    optimizer, ema: as for `Descent`.
    needs: empty: only captions are read.
  """

  network: Any
  process: Process
  senses: tuple
  time_sampler: TimeSampler
  objective: Objective
  times: Float[Array, "grid batch frames"]
  updates: int
  condition_dropout: float
  draw: Callable[[PRNGKeyArray], Any]
  optimizer: Any
  ema: Ema
  needs: Needs = frozenset()

  def init(self, key: PRNGKeyArray) -> State:
    """See `TrainStep`."""
    state = drawn_state(self.draw, self.optimizer, self.ema, key)
    return state.replace(extra=state.params)

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`; the student starts as the teacher."""
    return state.replace(params=params, ema=params, extra=params)

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    key_drop, key_pairs, key_time = jax.random.split(key, 3)
    context = Context(text=batch.context.text)
    dropped = jax.random.uniform(key_drop, (len(context.text),)) < self.condition_dropout
    context = context.drop_condition(dropped)
    noise, clip = self.pairs(state.extra, context, key_pairs)
    pairs = batch.replace(clip=clip, context=context)

    def loss(params, key):
      prediction = self.predict(params, noise, pairs, key)
      metrics = self.objective(prediction, pairs)
      return metrics["loss"], metrics

    def advance(inner, key):
      grads, metrics = jax.grad(loss, has_aux=True)(inner.params, key)
      metrics = {**metrics, "gradient_norm": optax.tree.norm(grads)}
      return update(inner, grads, metrics["loss"], self.optimizer, self.ema), metrics

    new, metrics = jax.lax.scan(advance, state, jax.random.split(key_time, self.updates))
    # The updates are one step of training, whose number selects batches and checkpoints.
    return new.replace(step=state.step + 1), jax.tree.map(lambda x: x.mean(0), metrics)

  def pairs(self, params, context: Context, key: PRNGKeyArray) -> tuple[Clip, Clip]:
    """Returns (noise, the clips that the ODE of the model `params` makes of it), without guidance."""
    keys = jax.random.split(key, len(context.text))
    noise = prior(self.process, self.senses, self.times.shape[-1], keys)
    context = self.network.encode_captions(params, context)

    def denoiser(clip, t, context):
      return self.network.apply(params, clip, t, context)

    clip = solve(self.process, denoiser, noise, self.times, context, keys, "euler")
    return noise, jax.lax.stop_gradient(clip)

  def predict(self, params, noise: Clip, batch: Batch, key: PRNGKeyArray) -> Prediction:
    """The prediction at a random point of the line from each clip to its own noise."""
    frames = self.times.shape[-1]
    t = clip_times(key, self.time_sampler, len(batch.context.text), frames)
    corruption = {}
    for name, x0 in batch.clip.items():
      alpha, sigma = self.process.coefficients(per_frame(t, x0))
      corruption[name] = Corruption(alpha * x0 + sigma * noise[name], x0)
    output = self.network.apply(params, {name: c.x_t for name, c in corruption.items()}, t, batch.context)
    return Prediction(output=output, corruption=corruption, t=t)
