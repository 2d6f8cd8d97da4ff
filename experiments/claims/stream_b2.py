"""A stream makes the same frames of the same window 100,000 frames later.

Test B2 of StreamDiffusionV2 (arXiv 2511.07399), with the packaged causal model, video-to-video at time 0, so
that frames depend on the source and the window alone. After 20 frames a stream is continued with its own
count of frames, and with a count that is 100,000 larger. Value: the greatest difference between the next 8
frames. Bar: 1e-5. The fake, `absolute_positions`, rotates random queries and keys by absolute positions
instead of positions in the window, as caches of rotated keys do: the greatest difference of their products,
per head width, between the positions 0 to 7 and the same 100,000 later, in float32; it must exceed the bar.
"""

FRAMES, MORE, SHIFT = 20, 8, 100_000


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._stream import PROMPTS, encoded, engine, entering, greatest, keys_of
  from stale_jax.pipeline import load
  from stale_jax.sampling.stream.batch import ticking

  model = load("causal")
  stream, context = engine(model, (0.9,), sinks=1), encoded(model, PROMPTS[:1])
  clip = model.source[seed]["clip"]
  frames = len(clip["sight"])

  def source(number):
    names = [sense.name for sense in model.system.data.senses]
    return {name: jnp.asarray(clip[name][None, [number % frames]], jnp.float32) for name in names}

  def go_on(state, start, count):
    made = {}
    for number in range(start, start + count):
      new = entering(context, source=source(number), scale=0.0)
      state, emitted = ticking()(stream, model.params, state, new, jnp.float32(1))
      made[number] = jax.device_get(emitted.clip)
    return state, made

  state, before = go_on(stream.start(model.params, context, keys_of([seed])), 0, FRAMES)
  later = jax.tree.map(jnp.copy, state).replace(count=state.count + SHIFT)
  (_, near), (far_state, far) = go_on(state, FRAMES, MORE), go_on(later, FRAMES, MORE)
  value, fake = greatest(near, far), _absolute(seed)
  changes = float(np.abs(before[FRAMES - 1]["sight"] - before[FRAMES - 2]["sight"]).max())
  return {
    "value": value,
    "bar": 1e-5,
    "holds": value <= 1e-5 < fake and int(far_state.count[0]) > SHIFT and changes > 1e-3,
    "absolute_positions": fake,
    "change_from_frame_to_frame": changes,
  }


def _absolute(seed: int) -> float:
  """How much products of rotated queries and keys change if all positions are shifted."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.models.attention import apply_rotary
  from stale_jax.models.layers import rotary_angles

  width, places = 40, np.zeros((MORE, 3))
  places[:, 0] = np.arange(MORE)
  q, k = jax.random.normal(jax.random.key(seed), (2, 1, MORE, 1, 1, width))

  def products(shift):
    moved = places + np.array([shift, 0, 0])
    angles = {"x": jnp.asarray(rotary_angles(moved, width), jnp.float32)}
    a, b = (apply_rotary({"x": x}, angles)["x"].reshape(MORE, width) for x in (q, k))
    return a @ b.T / width

  return float(jnp.abs(products(0) - products(SHIFT)).max())
