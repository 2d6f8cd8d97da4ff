"""Self-Forcing students: a small one with random weights, and trained ones; their rollouts and errors."""

import functools

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
STEPS, FRAMES = 4, 4


def student(seed: int, depth: int = 2):
  """A small causal student of four steps with random weights, which makes one frame at a time."""
  from experiments.claims._small import digits
  from stale_jax.testing.models import drawn

  sizes = {"width": 32, "text_width": 16, "condition_width": 16, "depth": depth, "heads": 2}
  config = digits(seed, canvas=12, frames=FRAMES, patch=1, causal=True, **sizes)
  config["senses"] = ["sight", "touch"]
  config["times"] = {**config["times"], "independent": True}
  config["training"]["init_from"] = "digits"
  config["sampling"] |= {"solver": "consistency", "steps": STEPS, "guidance": 1.0}
  config["self_forcing"], config["rollout"] = {"frames": 3 * FRAMES}, {"sinks": 1, "noise": 0.1}
  return drawn(config, seed)


def conditions(model, seed: int):
  """The arguments of a rollout of two movies.

  Returns:
    The time grid of a chunk [steps+1, movies, frames of a chunk], the context of the captions, the time to
    which cached frames are noised [movies], and one PRNG key per movie [movies].
  """
  import jax
  import jax.numpy as jnp

  from stale_jax.clip import Context
  from stale_jax.text import tokenize

  e, count = model.system, len(PROMPTS)
  text = jnp.asarray(tokenize(PROMPTS, e.network.text_length))
  keys = jax.vmap(jax.random.key)(jnp.arange(seed, seed + count, dtype=jnp.uint32))
  noise = jnp.full(count, e.diffusion.rollout.noise)
  return (
    model.settings(batch=count).times(e.diffusion.rollout.chunk, e.data.senses),
    Context(text=text),
    noise,
    keys,
  )


def trained_on(model, seed: int, step: int, start: int):
  """Rolls out two movies as training does, with `step` as the exit step of all chunks.

  Returns:
    The `Exits` of the window of FRAMES frames that starts at frame `start`, and the cache after it.
  """
  from stale_jax.training.steps.self_forcing import student_programs

  run = _rolled(student_programs(model.system))
  return run(model.params, step, start, *conditions(model, seed))


@functools.cache
def _rolled(programs):
  """The compiled rollout of training; it is compiled once for each `programs`."""
  import jax

  from stale_jax.compilation import compiler_options
  from stale_jax.training.steps.rollouts import roll

  # All values are arguments, as in a training step: if some were constants, or with other compiler options,
  # XLA would compile a different program.
  @functools.partial(jax.jit, compiler_options=compiler_options())
  def run(params, step, start, times, context, noise, keys):
    return roll(programs, params, times, step, context, noise, keys, start, FRAMES)

  return run


def generated(model, seed: int, step: int, frames: int):
  """Rolls out the same two movies as generation does, with a time grid that ends after `step`.

  Returns:
    The clip, sense -> [movies, frames, ...], and the list of the caches after each frame.
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.compilation import compiled
  from stale_jax.processes import fold_keys
  from stale_jax.sampling.samplers.causal_programs import Causal
  from stale_jax.training.steps.rollouts import exit_times
  from stale_jax.training.steps.self_forcing import student_programs

  programs, (times, context, noise, keys) = student_programs(model.system), conditions(model, seed)
  times = exit_times(times, step)
  cache, clips, caches = programs.start(model.params, times, context, keys), [], []
  advance = compiled(Causal.advance)
  guidance = jnp.float32(1), jnp.array([0.0, 1.0])
  for number in range(frames):
    own = fold_keys(keys, number)
    clip, cache = advance(programs, model.params, cache, times, context, noise, own, *guidance, step + 1)
    clips.append(jax.device_get(clip))
    caches.append(jax.device_get(cache))
  return {name: np.concatenate([clip[name] for clip in clips], 1) for name in clips[0]}, caches


def distilled(seed: int, frames: int = 0):
  """The trained student of configs/digits_self_forcing.py, whose teacher is the packaged causal model.

  Args:
    seed: seed of the training.
    frames: frames of a rollout in training; 0 for those of a clip. If there are more than in a clip, the
      model is trained with Self-Forcing++.
  """
  from configs import digits_self_forcing
  from stale_jax.testing.models import trained

  config = digits_self_forcing.get_config().to_dict()
  config["self_forcing"]["frames"] = frames
  return trained({**config, "seed": seed}, config["training"]["steps"])


def asked(model, movies: int, seed: int) -> tuple[list[str], list[int]]:
  """(captions of the first `movies` test clips, one seed for each)."""
  import dataclasses

  test = dataclasses.replace(model.source, split="test", seed=seed)
  return [test[i]["caption"] for i in range(movies)], list(range(seed, seed + movies))


def errors(model, seed: int, windows: int, movies: int, real: int = 512, **overrides) -> list[float]:
  """Rolls out test captions and measures the error of each window, which is as long as a training clip.

  The error is the kernel distance (KID) between a reader's features of generated and of real clips. With so
  few clips a Fréchet distance would be biased.

  Args:
    model: a `stale_jax.Model`.
    seed: seed of the test captions and of the noise.
    windows: number of windows of a movie.
    movies: number of movies to generate.
    real: number of real movies, of the same length, to compare with.
    **overrides: settings of `Model.rollout`.
  """
  import dataclasses

  import numpy as np

  from stale_jax.evaluation import kernel_distance
  from stale_jax.evaluation.reader import fitted_reader

  length = model.frames
  test = dataclasses.replace(model.source, split="test", frames=windows * length, seed=seed)
  examples = [test[i] for i in range(real)]
  prompts, seeds = [e["caption"] for e in examples[:movies]], list(range(seed, seed + movies))
  chunks = model.rollout(prompts, seeds, frames=windows * length, **overrides)
  made = np.concatenate([chunk["sight"] for chunk in chunks], 1)
  held = np.stack([e["clip"]["sight"] for e in examples])
  read = fitted_reader(dataclasses.replace(model.source, split="train"))

  def features(clips, window: int):
    return read(clips[:, window * length :][:, :length]).features

  return [kernel_distance(features(made, window), features(held, window)) for window in range(windows)]


def error_slope(errors) -> float:
  """The slope, per window, of the least-squares line through the errors of successive windows."""
  import numpy as np

  return float(np.polyfit(range(len(errors)), errors, 1)[0])
