"""Small models that make frames one by one (configs/digits_artv.py), and what is asked of them."""

STEPS = 5000  # Of training, unless a claim is given models that are trained.
GIVEN = 3  # First frames of a real clip that a movie goes on from.
MOVING = 0.1  # Values of a frame that differ by more from the frame before.


def trained(seed: int, **changes):
  """The `stale_jax.Model` of the config with `changes` to its section artv."""
  from configs import digits_artv
  from stale_jax.testing import models

  config = digits_artv.get_config().to_dict()
  return models.trained({**config, "seed": seed, "artv": {**config["artv"], **changes}}, STEPS)


def real_clips(model, clips: int, frames: int, seed: int):
  """(sight [clips, frames, height, width, 3], captions) of test clips that go on for so long."""
  import dataclasses

  import numpy as np

  source = dataclasses.replace(model.system.data.source, split="test", frames=frames)
  examples = [source[seed + i] for i in range(clips)]
  return np.stack([e["clip"]["sight"] for e in examples]), [e["caption"] for e in examples]


def follow(model, real, captions, frames: int, **settings):
  """Sight of so many frames after the first three of each real clip."""
  import numpy as np

  first = {"sight": real[:, :GIVEN]}
  made = model.rollout(captions, list(range(len(captions))), frames=frames, first=first, **settings)
  return np.concatenate([clip["sight"] for clip in made], 1)


def masks(model, real, captions, times, noise: float, seed: int):
  """What the mask says of the fourth frame of each clip, [times, clips, height, width, 3]."""
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


def psnr(made, real) -> float:
  """In dB, of values in [-1, 1], over all of them."""
  import numpy as np

  return float(10 * np.log10(4 / np.mean(np.square(made - real))))
