"""Decoded frame by frame as latents arrive, a clip is the same as when it is decoded whole.

The packaged autoencoder encodes and decodes clips of 65 frames; its training clips have 9. Value: the
greatest difference of a pixel value, which ranges from -1 to 1. Bar: 1e-4. `forgotten` is the same difference
if the state of the decoder is reset between latents; it must exceed the bar.
"""

FRAMES, CLIPS = 65, 4


def measure(seed: int) -> dict:
  import dataclasses

  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.checkpoints.named import AUTOENCODER
  from stale_jax.models import decode_next
  from stale_jax.pipeline import load

  trained = load(AUTOENCODER)
  model, params = trained.system.network, trained.params
  source = dataclasses.replace(trained.system.data.source, split="test", frames=FRAMES)
  clips = np.stack([source[seed + i]["clip"]["sight"] for i in range(CLIPS)])
  z = model.apply(params, clips, method="encode")
  whole = model.apply(params, z, method="decode")
  first = jax.jit(lambda z: decode_next(model, params, None, z))
  following = jax.jit(lambda past, z: decode_next(model, params, past, z))

  def streamed(remembers: bool):
    parts, past = [], None
    for step in range(z.shape[1]):
      now = z[:, step : step + 1]
      frames, after = first(now) if past is None else following(past, now)
      parts.append(frames)
      past = after if remembers or past is None else jax.tree.map(jnp.zeros_like, after)
    return jnp.concatenate(parts, 1)

  def difference(remembers: bool) -> float:
    return float(jnp.abs(streamed(remembers) - whole).max())

  value, forgotten = difference(True), difference(False)
  return {
    "value": value,
    "bar": 1e-4,
    "holds": value <= 1e-4 < forgotten,
    "forgotten": forgotten,
    "frames": FRAMES,
    "latents": list(z.shape[1:]),
  }
