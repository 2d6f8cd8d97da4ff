"""Small ART-V models (configs/digits_artv.py), which make one frame at a time, and their measurements."""

import functools

STEPS = 5000  # Training steps.
GIVEN = 3  # First frames of a real clip that a movie continues.
MOVING = 0.1  # A value that differs by more from its value in the previous frame is moving.
CLIPS, FRAMES, LAST = 96, 200, 50  # For the claims on backgrounds; the last 50 frames are measured.


@functools.cache
def trained(seed: int, **changes):
  """The trained `stale_jax.Model` of the config, with `changes` to its section artv."""
  from configs import digits_artv
  from stale_jax.testing import models

  config = digits_artv.get_config().to_dict()
  return models.trained({**config, "seed": seed, "artv": {**config["artv"], **changes}}, STEPS)


def real_clips(model, clips: int, frames: int, seed: int):
  """(sight [clips, frames, height, width, 3], captions) of test clips of `frames` frames each."""
  import dataclasses

  import numpy as np

  source = dataclasses.replace(model.system.data.source, split="test", frames=frames)
  examples = [source[seed + i] for i in range(clips)]
  return np.stack([e["clip"]["sight"] for e in examples]), [e["caption"] for e in examples]


def follow(model, real, captions, frames: int, **settings):
  """Generates `frames` frames that continue the first three frames of each real clip.

  Args:
    model: a `stale_jax.Model`.
    real: sight of the clips, [clips, at least 3, height, width, 3].
    captions: their captions.
    frames: number of frames to generate.
    **settings: settings of `Model.rollout`.

  Returns:
    Sight of the generated frames, [clips, frames, height, width, 3].
  """
  import numpy as np

  first = {"sight": real[:, :GIVEN]}
  made = model.rollout(captions, list(range(len(captions))), frames=frames, first=first, **settings)
  return np.concatenate([clip["sight"] for clip in made], 1)


def masks(model, real, captions, times, noise: float, seed: int):
  """The mask of the fourth frame of each clip, conditioned on the three frames before it.

  Args:
    model: a `stale_jax.Model` with a mask.
    real: sight of the clips, [clips, at least 4, height, width, 3].
    captions: their captions.
    times: times to which the fourth frame is noised.
    noise: time to which the references, the second and third frames, are noised.
    seed: seed of the noise.

  Returns:
    The share of each value that comes from the network, [times, clips, height, width, 3].
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.objectives.artv import IS_REFERENCE
  from stale_jax.text import tokenize

  e = model.system
  context = Context(text=jnp.asarray(tokenize(captions, e.network.text_length)))
  x = jnp.asarray(real[:, : GIVEN + 1])

  @jax.jit
  def ask(t, key):
    when = jnp.broadcast_to(jnp.append(noise * IS_REFERENCE, t), x.shape[:2])
    x_t = e.diffusion.process.corrupt(key, x, when).x_t
    _, sown = e.network.apply(model.params, {"sight": x_t}, when, context, mutable=["mask"])
    return sown["mask"]["sight"][0][:, -1]

  keys = jax.random.split(jax.random.key(seed), len(times))
  return np.stack([ask(t, key) for t, key in zip(jnp.asarray(times), keys, strict=True)])


@functools.cache
def background_drift(seed: int) -> dict:
  """How far static backgrounds drift in movies that continue real clips, with the mask and without it.

  Returns:
    name ("masked", "unmasked", "real") -> the scores of `Liveliness`, and the mean squared error of the
    background over the last 50 of 200 frames, for two definitions of background:
    uncovered: the values that the real digit never covers.
    untouched: the pixels that the real digit never covers, and whose eight neighbours it never covers.
  """
  import numpy as np
  from scipy.ndimage import maximum_filter

  from stale_jax.evaluation.liveliness import Liveliness, change_of

  models = {"masked": trained(seed), "unmasked": trained(seed, mask=False)}
  masked = models["masked"]
  real, captions = real_clips(masked, CLIPS, GIVEN + FRAMES, seed)
  covered = np.ptp(real, 1) > 0
  touched = maximum_filter(covered.any(-1), (1, 3, 3))
  change = change_of(real)

  def scores(sight):
    meter = Liveliness(masked.frames, change)
    meter.add(sight)
    off = np.square(sight - real[:, GIVEN:])[:, -LAST:].mean(1)
    drift = {"uncovered": float(off[~covered].mean()), "untouched": float(off[~touched].mean())}
    return {**meter.scores(), **drift}

  movies = {name: follow(model, real, captions, FRAMES) for name, model in models.items()}
  movies["real"] = real[:, GIVEN:]
  found = {name: scores(sight) for name, sight in movies.items()}
  shown = ("uncovered", "untouched", "retention", "explained", "dead", "pace")
  for name, score in found.items():
    print(name, {key: float(score[key]) for key in shown})
  return found


def judge_background(found: dict, background: str) -> dict:
  """The result of the claim on `background` ("uncovered" or "untouched"), from `background_drift`."""
  value = found["masked"][background] / found["unmasked"][background]
  conditions = {"motion retention at least .8": bool(found["masked"]["retention"] >= 0.8)}
  return {
    "value": value,
    "bar": 0.5,
    "holds": value <= 0.5 and all(conditions.values()),
    "conditions": conditions,
    "retention": {name: score["retention"] for name, score in found.items()},
    "drift": {name: score[background] for name, score in found.items()},
    "frames": FRAMES,
    "clips": CLIPS,
  }


def psnr(made, real) -> float:
  """Peak signal-to-noise ratio in dB, of values in [-1, 1], over all clips."""
  import numpy as np

  return float(10 * np.log10(4 / np.mean(np.square(made - real))))
