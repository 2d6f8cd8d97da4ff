"""Where the mask leaves nothing to the network, static content is copied exactly, in a movie of any length.

The mask is the share of each value that the network generates; the rest is copied from the previous frame.
The head of a randomly initialised network is set to predict a mask of 0, then of 1 and of 1/2. Value: the
greatest of two differences at mask 0: between the new frame of the denoiser's output, guided and unguided,
and the previous frame, at four times and under all processes that mix data with noise; and between a movie of
64 frames that continues a still picture, and that picture. Bar: 1e-5. With a mask of 1 the output must equal
that of the unmasked network bit by bit; with 1/2 it must differ from both that output and the previous frame.
"""

FRAMES, CLIPS, TIMES = 64, 2, (0.02, 0.3, 0.7, 1.0)
PROCESSES = ("uniform_flow", "gaussian_flow", "vp", "edm")


def measure(seed: int) -> dict:
  import dataclasses

  import jax
  import jax.numpy as jnp
  import numpy as np

  from configs import digits_artv
  from experiments.claims._artv import GIVEN, follow, real_clips
  from stale_jax.clip import Context
  from stale_jax.config import build
  from stale_jax.objectives import copying
  from stale_jax.pipeline import Model
  from stale_jax.processes import build_process
  from stale_jax.sampling import classifier_free
  from stale_jax.testing.models import moved
  from stale_jax.text import tokenize
  from stale_jax.training.initial import init_params

  config = digits_artv.get_config()
  config.model.depth = 1
  e = build(config.to_dict())
  fresh = init_params(e, jax.random.key(seed))

  def saying(bias: float):
    """The random network's parameters, with the logit `bias` for the mask of every value."""
    params = moved(fresh, seed)
    head = params["params"]["sight_mask"]["dense"]
    head.update(kernel=jnp.zeros_like(head["kernel"]), bias=jnp.full_like(head["bias"], bias))
    return params

  none, whole, half = (saying(bias) for bias in (-1e4, 1e4, 0.0))
  real, captions = real_clips(Model(e, none, ""), CLIPS, GIVEN, seed)
  still = jnp.asarray(np.repeat(real[:, -1:], GIVEN + 1, 1))
  context = Context(text=jnp.asarray(tokenize(captions, e.network.text_length)))

  @jax.jit
  def ask(params, x_t, t):
    copied = copying(e.network, params, {"sight": still[:, :GIVEN]})
    says = (lambda *given: e.network.apply(params, *given)), copied, classifier_free(copied, 4.0)
    return [of({"sight": x_t}, t, context)["sight"][:, -1] for of in says]

  value, same, between = 0.0, True, np.inf
  for name in PROCESSES:
    process = build_process({"name": name})
    for t in TIMES:
      when = jnp.broadcast_to(jnp.where(jnp.arange(GIVEN + 1) < GIVEN, 0.0, t), still.shape[:2])
      x_t = process.corrupt(jax.random.key(seed), still, when).x_t
      _, *copies = ask(none, x_t, when)
      off = float(max(np.abs(x - still[:, -1]).max() for x in copies))
      print(f"{name:14} t {t:4}: {off:.2e}")
      value = max(value, off)
      plain, copied, _ = ask(whole, x_t, when)
      same &= bool((plain == copied).all())
      plain, copied, _ = ask(half, x_t, when)
      between = min(between, float(np.abs(copied - plain).max()), float(np.abs(copied - still[:, -1]).max()))
  diffusion = dataclasses.replace(e.diffusion, process=build_process({"name": PROCESSES[0]}))
  model = Model(dataclasses.replace(e, diffusion=diffusion), none, "")
  movie = float(np.abs(follow(model, np.asarray(still), captions, FRAMES, steps=4) - still[:, :1]).max())
  value = max(value, movie)
  print(f"{PROCESSES[0]}, a movie of {FRAMES} frames: {movie:.2e}")
  return {
    "value": value,
    "bar": 1e-5,
    "holds": value <= 1e-5 and same and between > 1e-3,
    "unmasked_at_one": same,
    "least_change_at_half": between,
    "frames": FRAMES,
  }
