"""Self-Forcing: a causal student of few steps, trained on what it makes itself (arXiv 2506.08009).

A model that learnt to go on from real frames meets its own in a rollout, and its errors feed on one another.
So the student is trained within the very rollout that it will be run in (`sampling.Causal`): frame after
frame, with its cache, from noise. What it made is held against real clips as a whole, by distribution
matching (`objectives/dmd.py`). `training.init_from` is the teacher; student and critic begin as it does.

An iteration draws one *exit step*: each chunk is denoised up to it as in generation, each time noised anew,
and what it then is taken for is the frame, whose keys and values later chunks see. All that is without
gradient, and kept are only what the exit step began with and the cache that it saw. Then the exit steps
alone are taken again, with gradient: no step before and no other chunk has a share in it, so that memory does
not depend on the exit step.

*Self-Forcing++* (arXiv 2510.02283) is the same within longer movies: of `frames`, many more than a clip of
training, a window of the clip's length is drawn, evenly, and is judged as a clip, noised by the same law
("backward noise initialisation"). No frame after it can change it, so none is made.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.construct import at_least
from stale_jax.errors import UserError
from stale_jax.models.kv_cache import KVCache
from stale_jax.objectives import corrupt, dmd_loss, dmd_step, predict
from stale_jax.processes import clip_times
from stale_jax.sampling import Causal, causal_programs, classifier_free, fold
from stale_jax.training.state import Judges, State, accept, descend


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfForcing:
  """How a student is trained; to be sampled as `Sampling`, and rolled out as `Rollout`, say.

  Attributes:
    frames: of a movie of which a window is judged; 0: as many as a clip has.
    every: the critic is updated at every step, the student at each of so many.
    guidance, interval: of the teacher.
  """

  frames: int = 0
  every: int = 5
  guidance: float = 3.0
  interval: tuple[float, float] = (0.0, 1.0)

  def __post_init__(self):
    at_least(0, "self_forcing", frames=self.frames)
    at_least(1, "self_forcing", every=self.every)


@flax.struct.dataclass
class Exits:
  """The exit steps of some chunks; the first axis of each array is theirs.

  Attributes:
    x: what they began with.
    cache: what they saw.
    clip: what they made of it.
  """

  x: Clip
  cache: KVCache
  clip: Clip


def exit_times(times: Array, step: Int[Array, ""]) -> Array:
  """The grid of those who leave at `step`: from there straight to 0."""
  index = jnp.arange(len(times))[:, None, None]
  return jnp.where(index <= step, times, 0.0)


def leave(programs: Causal, params, x: Clip, cache: KVCache, t, context: Context) -> Clip:
  """What `x`, at times t, is taken for.

  The gradient passes the walls of the box: else a value that lies outside could never come back.
  """
  output = programs.model.apply(params, x, t, context, cache)
  clean = {name: programs.process.denoised(output[name], x[name], t) for name in x}
  return {name: o + jax.lax.stop_gradient(clean[name] - o) for name, o in output.items()}


def roll(
  programs: Causal,
  params,
  times: Array,
  step: Int[Array, ""],
  context: Context,
  noise: Array,
  keys: PRNGKeyArray,
  start: Int[Array, ""] | None,
  chunks: int,
) -> tuple[Exits, KVCache]:
  """A window of `chunks` within movies, from chunk `start` on, without gradient; and the cache after it.

  Args:
    programs, params: of the student.
    times: [steps+1, batch, frames of a chunk].
    step: at which all chunks leave.
    context: of the movies.
    noise: see `Causal.keep`.
    keys: one a movie.
    start: of the window; None: at the movies' own.
    chunks: of it.
  """
  cut = exit_times(times, step)

  def before(number, cache):
    own = fold(keys, number)
    _, clip = programs.make(params, cache, cut, context, own, step + 1)
    return programs.keep(params, cache, clip, context, noise, fold(own, 1))

  def within(cache, number):
    own = fold(keys, number)
    x, clip = programs.make(params, cache, cut, context, own, step + 1)
    return programs.keep(params, cache, clip, context, noise, fold(own, 1)), Exits(x, cache, clip)

  cache = programs.start(params, times, context, keys)
  if start is not None:
    cache = jax.lax.fori_loop(0, start, before, cache)
  cache, exits = jax.lax.scan(within, cache, (0 if start is None else start) + jnp.arange(chunks))
  return exits, cache


def taken_again(programs: Causal, params, exits: Exits, t: Array, context: Context) -> Clip:
  """The window's frames, by its exit steps alone, with their gradient to `params`."""
  exits = jax.lax.stop_gradient(exits)

  def one(_, chunk):
    return None, leave(programs, params, chunk.x, chunk.cache, t, context)

  return joined(jax.lax.scan(one, None, exits)[1])


def joined(chunks: Clip) -> Clip:
  """Chunks [chunks, batch, frames, ...] as clips."""

  def one(x):
    x = jnp.moveaxis(x, 0, 1)
    return jnp.reshape(x, (x.shape[0], -1, *x.shape[3:]))

  return jax.tree.map(one, chunks)


def window_start(key: PRNGKeyArray, chunks: int, window: int) -> Int[Array, ""]:
  """Where a window of so many chunks begins in a movie of `chunks`: anywhere alike."""
  return jax.random.randint(key, (), 0, chunks - window + 1)


def make_self_forcing_step(experiment, optimizer, critic_optimizer):
  """(state, batch) -> (state, metrics): of the batch only the captions are used."""
  forcing, process, sampling = (
    experiment.training.self_forcing,
    experiment.diffusion.process,
    experiment.diffusion.sampling,
  )
  frames, chunk = experiment.data.source.frames, experiment.diffusion.rollout.chunk
  programs = student_programs(experiment)
  density = dataclasses.replace(experiment.diffusion.time_sampler, independent=False)
  window, chunks = frames // chunk, max(forcing.frames or frames, frames) // chunk
  size, weights = experiment.training.settings.batch, experiment.training.objective.terms[0].weights
  times = dataclasses.replace(sampling, batch=size).times(chunk)
  noise = jnp.full(size, experiment.diffusion.rollout.noise, jnp.float32)

  # The judges see whole clips: one program of a block runs through them all.
  whole = experiment.network.clone(scan=True)

  def denoiser(params):
    return lambda clip, t, context: whole.apply(params, clip, t, context)

  def criticise(critic, batch: Batch, key):
    metrics = experiment.training.objective(predict(denoiser(critic), process, density, batch, key), batch)
    return metrics["loss"], metrics

  def match(params, judges: Judges, exits: Exits, t, context: Context, key):
    clip = taken_again(programs, params, exits, t, context)
    key_time, key_noise = jax.random.split(key)
    t = clip_times(key_time, density, size, frames)
    noised = corrupt(process, jax.lax.stop_gradient(clip), t, key_noise)
    x_t = {name: c.x_t for name, c in noised.items()}
    teacher = classifier_free(denoiser(judges.teacher), forcing.guidance, forcing.interval)
    real, fake = (
      {name: process.denoised(o, x_t[name], t) for name, o in judge(x_t, t, context).items()}
      for judge in (teacher, denoiser(judges.critic))
    )
    away = jax.lax.stop_gradient(dmd_step(clip, fake, real))
    loss = dmd_loss(clip, away, weights)
    return loss, {"dmd": sum(jnp.mean(jnp.abs(x)) for x in away.values()) / len(away)}

  def step(state: State, batch: Batch):
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    key_exit, key_start, key_roll, key_critic, key_match = jax.random.split(key, 5)
    exit_step = jax.random.randint(key_exit, (), 0, sampling.steps)
    start = window_start(key_start, chunks, window) if chunks > window else None
    context = Context(text=batch.context.text)
    rolled = programs, state.params, times, exit_step, context, noise
    exits, _ = roll(*rolled, jax.random.split(key_roll, size), start, window)
    judges = state.judges

    made = batch.replace(clip=joined(exits.clip), context=context)
    grads, metrics = jax.grad(criticise, has_aux=True)(judges.critic, made, key_critic)
    updates, opt_state = critic_optimizer.update(grads, judges.opt_state, judges.critic)
    learnt = judges.replace(critic=optax.apply_updates(judges.critic, updates), opt_state=opt_state)

    def student(state):
      of = judges, exits, times[exit_step], context, key_match
      grads, told = jax.grad(match, has_aux=True)(state.params, *of)
      return descend(state, grads, optimizer, experiment.training.ema), optax.tree.norm(grads), told

    def unchanged(state):
      return state, jnp.zeros(()), {"dmd": jnp.zeros(())}

    due = (state.step + 1) % forcing.every == 0
    new, norm, told = jax.lax.cond(due, student, unchanged, state)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(optax.tree.norm(grads)) & jnp.isfinite(norm)
    return accept(new.replace(judges=learnt), state, finite), {**metrics, **told, "gradient_norm": norm}

  return step


def student_programs(experiment) -> Causal:
  """Those that generation runs the student by."""
  parts = (
    experiment.network,
    experiment.diffusion.process,
    experiment.data.senses,
    experiment.diffusion.rollout,
  )
  return causal_programs(
    *parts, experiment.data.source.frames, experiment.diffusion.sampling.solver, guided=False
  )


def check_self_forcing(experiment) -> None:
  """Raises UserError if the rest of the config does not fit."""
  check_rollout(experiment, "self_forcing", ("self_forcing.frames", experiment.training.self_forcing.frames))
  if experiment.diffusion.sampling.solver != "consistency" or experiment.diffusion.sampling.guidance != 1:
    raise UserError(
      "self_forcing: the student is sampled from as it is trained; set sampling.solver='consistency' and "
      "sampling.guidance=1. (self_forcing.guidance is the teacher's.)"
    )
  if not experiment.training.settings.init_from:
    raise UserError("self_forcing: training.init_from, the teacher, is missing.")
  others = experiment.network.labels, experiment.diffusion.artv, experiment.diffusion.first.share
  if any(others) or experiment.training.settings.accumulate > 1:
    raise UserError("self_forcing: leave cringe, artv, first and training.accumulate out.")
  experiment.diffusion.process.coefficients(jnp.zeros(()))
  student_programs(experiment)


def check_rollout(experiment, section: str, *others: tuple[str, int]) -> None:
  """Raises UserError if a step of `section` cannot make what generation makes: clips, and of `others`."""
  if not experiment.diffusion.causal:
    raise UserError(f"{section}: the model is causal; set model.causal and times.independent.")
  if experiment.diffusion.rollout.how != "causal":
    raise UserError(f"{section}: training rolls out as generation does; set rollout.how='causal'.")
  for name, frames in (("source.frames", experiment.data.source.frames), *others):
    if frames % experiment.diffusion.rollout.chunk:
      raise UserError(f"{section}: {name}={frames} is not a multiple of rollout.chunk.")
