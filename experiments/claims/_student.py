"""A small causal student with random weights, rolled out as in training and as in generation."""

import functools

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
STEPS, FRAMES = 4, 4


def student(seed: int):
  """The student with random weights."""
  from experiments.claims._small import digits
  from stale_jax.testing.models import drawn

  sizes = {"width": 32, "text_width": 16, "condition_width": 16, "depth": 2, "heads": 2}
  config = digits(seed, canvas=12, frames=FRAMES, patch=1, causal=True, **sizes)
  config["senses"] = ["sight", "touch"]
  config["times"] = {**config["times"], "independent": True}
  config["training"]["init_from"] = "shipped"
  config["sampling"] |= {"solver": "consistency", "steps": STEPS, "guidance": 1.0}
  config["self_forcing"], config["rollout"] = {"frames": 3 * FRAMES}, {"sinks": 1, "noise": 0.1}
  return drawn(config, seed)


def conditions(model, seed: int):
  """(times, context, noise of the frames kept, one key per movie), for two movies."""
  import jax
  import jax.numpy as jnp

  from stale_jax.clip import Context
  from stale_jax.text import tokenize

  e, count = model.system, len(PROMPTS)
  text = jnp.asarray(tokenize(PROMPTS, e.network.text_length))
  keys = jax.vmap(jax.random.key)(jnp.arange(seed, seed + count, dtype=jnp.uint32))
  noise = jnp.full(count, e.diffusion.rollout.noise)
  return model.settings(batch=count).times(e.diffusion.rollout.chunk), Context(text=text), noise, keys


def trained_on(model, seed: int, step: int, start: int):
  """(exits of the window that starts at frame `start`, cache after it), if all chunks exit at `step`."""
  from stale_jax.training.steps.self_forcing import student_programs

  run = _rolled(student_programs(model.system))
  return run(model.params, step, start, *conditions(model, seed))


@functools.cache
def _rolled(programs):
  """Training's rollout, compiled once."""
  import jax

  from stale_jax.compilation import compiler_options
  from stale_jax.training.steps.rollouts import roll

  # Everything is an argument, as in a training step: with constants, or at another optimization level, the
  # compiler makes another program.
  @functools.partial(jax.jit, compiler_options=compiler_options())
  def run(params, step, start, times, context, noise, keys):
    return roll(programs, params, times, step, context, noise, keys, start, FRAMES)

  return run


def generated(model, seed: int, step: int, frames: int):
  """(clip, cache after each chunk) of the same movies in generation, whose time grid ends after `step`."""
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
  """The trained `stale_jax.Model` of configs/digits_self_forcing.py, from the packaged causal model.

  If `frames` is larger than the frames of a clip, it is trained with Self-Forcing++.
  """
  from configs import digits_self_forcing
  from stale_jax.testing.models import trained

  config = digits_self_forcing.get_config().to_dict()
  config["self_forcing"]["frames"] = frames
  return trained({**config, "seed": seed}, config["training"]["steps"])


def asked(model, movies: int, seed: int) -> tuple[list[str], list[int]]:
  """(captions of test clips, seeds) for `movies` movies."""
  import dataclasses

  test = dataclasses.replace(model.source, split="test", seed=seed)
  return [test[i]["caption"] for i in range(movies)], list(range(seed, seed + movies))


def errors(model, seed: int, windows: int, movies: int, real: int = 512, **overrides) -> list[float]:
  """The error of each window (a clip's length) of the model's rollouts of test captions.

  The error is the kernel distance between a reader's features of generated and of real clips. With so few
  clips a Fréchet distance would be biased.
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
  """The slope of the line fitted to the errors of successive windows, per window."""
  import numpy as np

  return float(np.polyfit(range(len(errors)), errors, 1)[0])
