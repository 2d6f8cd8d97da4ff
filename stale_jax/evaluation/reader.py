"""Reads the labels of clips of the digits source from sight alone.

A tracker finds the ink of each frame. A small network, fitted on real training clips, predicts digit, colour,
direction, speed and impacts from the tracks. Compare its accuracy on generated clips with that on real test
clips.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.serialization import msgpack_restore, msgpack_serialize
from jaxtyping import Float, Int
from scipy.special import log_softmax

from stale_jax.clip import intensity
from stale_jax.data.sources.digits import LABELS, WALLS, handwriting
from stale_jax.files import cache_folder

_GLYPH = 10  # Side in pixels of the patch around the ink.
_CLIPS, _STEPS, _BATCH = 8192, 1500, 256


@dataclasses.dataclass(frozen=True)
class Reading:
  """Labels, impacts, features and tracks of n clips.

  Attributes:
    labels: digit, colour, direction, speed -> [n] indices.
    log_probabilities: the same -> log-probability of each class in nats, [n, classes].
    hits: whether the digit hits each of the four walls in each frame, [n, frames, 4].
    features: activations of the network's last hidden layers, for Fréchet and kernel distances, [n, 96].
    glyphs: mean picture of the digit, with unit norm, [n, 100].
    path: centre of mass of the ink, (row, column) in pixels, [n, frames, 2].
  """

  labels: dict[str, Int[np.ndarray, "n"]]
  log_probabilities: dict[str, np.ndarray]
  hits: np.ndarray
  features: Float[np.ndarray, "n features"]
  glyphs: Float[np.ndarray, "n pixels"]
  path: Float[np.ndarray, "n frames 2"]


def track(sight: Float[np.ndarray, "n frames height width 3"]) -> dict[str, np.ndarray]:
  """Tracks the ink, the bright pixels of each frame.

  Returns:
    path: centre of mass (row, column) in pixels, [n, frames, 2].
    mass: sum of the intensities, [n, frames].
    colour: mean colour, scaled to a maximum of 1, [n, 3].
    glyphs: patch around the centre of mass, averaged over the first and over the second half of the clip,
      [n, 2, 10, 10].
  """
  colour = intensity(sight)
  ink = colour.max(-1)
  n, frames, height, width = ink.shape
  mass = ink.sum((2, 3))
  safe = np.maximum(mass, 1e-6)
  path = np.stack(
    [(ink.sum(3) * np.arange(height)).sum(2) / safe, (ink.sum(2) * np.arange(width)).sum(2) / safe], -1
  )
  half = _GLYPH // 2
  padded = np.pad(ink, ((0, 0), (0, 0), (half, half), (half, half)))
  corner = np.rint(path).astype(int)
  rows = corner[..., 0, None] + np.arange(_GLYPH)
  columns = corner[..., 1, None] + np.arange(_GLYPH)
  index = np.arange(n)[:, None, None, None], np.arange(frames)[:, None, None]
  cut = padded[(*index, rows[..., :, None], columns[..., None, :])]
  glyphs = np.stack([part.mean(1) for part in np.array_split(cut, 2, axis=1)], 1)
  total = (colour * ink[..., None]).sum((1, 2, 3))
  return {
    "path": path,
    "mass": mass,
    "colour": total / np.maximum(total.max(-1, keepdims=True), 1e-6),
    "glyphs": glyphs,
  }


def glyphs(tracked: dict[str, np.ndarray]) -> Float[np.ndarray, "n pixels"]:
  """The mean patch around the digit of each clip, flattened, with unit norm."""
  pixels = tracked["glyphs"].mean(1).reshape(len(tracked["mass"]), -1)
  return pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-6)


def still(split: str) -> Float[np.ndarray, "n 2 16 16 3"]:
  """One clip of two frames per digit of the split: white, at rest, in the middle of a black canvas."""
  digits, _ = handwriting(split)
  canvas = np.pad(2 * digits - 1, ((0, 0), (4, 4), (4, 4)), constant_values=-1)
  return np.broadcast_to(canvas[:, None, :, :, None], (len(canvas), 2, *canvas.shape[1:], 3))


def _inputs(tracked: dict[str, np.ndarray], canvas: int) -> tuple[np.ndarray, np.ndarray]:
  """Inputs of the network: glyphs [n, values]; and colour, path, steps and mass of the ink [n, values]."""
  n = len(tracked["mass"])
  path = tracked["path"] / canvas - 0.5
  motion = (tracked["colour"], 4 * path, 8 * np.diff(path, axis=1), tracked["mass"] / 16)
  form = 2 * tracked["glyphs"].reshape(n, -1)
  return form.astype(np.float32), np.concatenate([x.reshape(n, -1) for x in motion], 1).astype(np.float32)


class _Network(nn.Module):
  """Predicts the digit from the glyphs (`form`), and all else from colour and path of the ink (`motion`)."""

  frames: int

  @nn.compact
  def __call__(self, form, motion, key=None):
    h = nn.relu(nn.Dense(512)(form))
    if key is not None:
      h = h * jax.random.bernoulli(key, 0.7, h.shape) / 0.7
    form = nn.relu(nn.Dense(64)(h))
    hidden = nn.relu(nn.Dense(128)(motion))
    motion = nn.relu(nn.Dense(32)(hidden))
    heads = {name: nn.Dense(size)(form if name == "digit" else motion) for name, size in LABELS.items()}
    return heads, nn.Dense(self.frames * len(WALLS))(hidden), jnp.concatenate([form, motion], -1)


class Reader:
  """Reads clips with the canvas size and the number of frames of `source`; `params` are the weights."""

  def __init__(self, source, params):
    self._canvas = source.canvas
    self._network = _Network(source.frames)
    self._params = params

  def __call__(self, sight: Float[np.ndarray, "n frames height width 3"]) -> Reading:
    """Reads the sight of n clips."""
    tracked = track(np.asarray(sight))
    heads, hits, features = jax.device_get(self._network.apply(self._params, *_inputs(tracked, self._canvas)))
    return Reading(
      labels={name: logits.argmax(-1) for name, logits in heads.items()},
      log_probabilities={name: log_softmax(logits, -1) for name, logits in heads.items()},
      hits=hits.reshape(*np.shape(sight)[:2], len(WALLS)) > 0,
      features=features,
      glyphs=glyphs(tracked),
      path=tracked["path"],
    )


def _fit(source, seed: int = 0):
  """Fits a network on real clips of `source` and returns its weights; deterministic given `seed`."""
  examples = [source[int(i)] for i in np.random.default_rng(seed).integers(0, len(source), _CLIPS)]
  inputs = _inputs(track(np.stack([e["clip"]["sight"] for e in examples])), source.canvas)
  labels = {name: np.array([e["labels"][name] for e in examples]) for name in LABELS}
  hits = impacts(np.stack([e["clip"]["touch"] for e in examples])).reshape(_CLIPS, -1).astype(np.float32)
  network, key = _Network(source.frames), jax.random.key(seed)
  optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, _STEPS), weight_decay=0.02)

  def loss(params, key):
    key_rows, key_noise, key_drop = jax.random.split(key, 3)
    rows = jax.random.randint(key_rows, (_BATCH,), 0, len(hits))
    form, motion = (jnp.asarray(x)[rows] for x in inputs)
    form += 0.1 * jax.random.normal(key_noise, form.shape)
    heads, hit_logits, _ = network.apply(params, form, motion, key_drop)
    total = optax.sigmoid_binary_cross_entropy(hit_logits, jnp.asarray(hits)[rows]).sum(-1).mean()
    for name, logits in heads.items():
      total += optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels[name])[rows]).mean()
    return total

  def body(step, carry):
    params, state = carry
    grads = jax.grad(loss)(params, jax.random.fold_in(key, step))
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  params = network.init(key, *(x[:1] for x in inputs))
  return jax.jit(lambda p: jax.lax.fori_loop(0, _STEPS, body, (p, optimizer.init(p)))[0])(params)


@functools.cache
def fitted_reader(source) -> Reader:
  """Returns a reader fitted on clips of `source`. Fitting takes seconds; the weights are cached on disk."""
  # Everything that the bits of the weights depend on.
  how = (
    source,
    Path(__file__).read_text(),
    jax.__version__,
    jax.default_backend(),
    os.environ.get("XLA_FLAGS"),
  )
  path = cache_folder() / "readers" / f"{hashlib.sha256(repr(how).encode()).hexdigest()[:32]}.msgpack"
  with contextlib.suppress(OSError, ValueError):  # Not cached yet, or truncated.
    return Reader(source, msgpack_restore(path.read_bytes()))
  params = jax.device_get(_fit(source))
  with contextlib.suppress(OSError):  # Without a writable cache, fit again next time.
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")  # Other processes may fit the same reader.
    partial.write_bytes(msgpack_serialize(params))
    partial.replace(path)
  return Reader(source, params)


def impacts(touch: Float[np.ndarray, "*batch frames 4"]) -> np.ndarray:
  """Whether each wall is hit in each frame: touch has intensity 1 at an impact and at most .5 afterwards."""
  return intensity(touch) >= 0.75
