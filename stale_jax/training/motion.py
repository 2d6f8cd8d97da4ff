"""The semantic motion predictor (`models.motion_predictor`) with an autoencoder: training, weights, use.

The predictor computes the latent frames between two pictures. The packaged autoencoder, with frozen weights,
encodes each frame separately. StoryDiffusion (arXiv 2405.01434) instead encodes frames with CLIP, whose
embeddings condition a video model. The latents of the autoencoder can be decoded directly, so no further
model is needed.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from stale_jax.checkpoints.named import AUTOENCODER
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.clip import intensity
from stale_jax.compilation import batches
from stale_jax.construct import construct
from stale_jax.data import Digits
from stale_jax.data.sources.digits import COLOURS
from stale_jax.files import AnyPath
from stale_jax.models import Autoencoder, MotionPredictor
from stale_jax.models.motion_predictor import interpolated
from stale_jax.training.steps.motion import MotionStep

# Weights of the packaged predictor.
MOTION = AUTOENCODER.with_name("motion.safetensors")
_BATCH, _CLIPS, _RATE = 64, 6144, 1.5e-3
# Number of frames that are encoded or decoded together.
_AT_ONCE = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionModel:
  """Predicts the frames between two pictures.

  Attributes:
    coder, coder_params: the autoencoder and its parameters.
    predictor, params: the predictor of its codes (latents), and its parameters.
    shape: shape of a picture, (height, width, 3).
    frames: number of frames, including the first and the last picture.
  """

  coder: Autoencoder
  coder_params: Any
  predictor: MotionPredictor
  params: Any
  shape: tuple[int, int, int]
  frames: int

  def encode(self, frames: Float[np.ndarray, "*batch h w 3"]) -> Float[np.ndarray, "*batch y x channels"]:
    """Encodes frames in [-1, 1] to codes, each separately."""
    return _each(self.coder, "encode", self.coder_params, np.asarray(frames))

  def decode(self, codes: Float[np.ndarray, "*batch y x channels"]) -> Float[np.ndarray, "*batch h w 3"]:
    """Decodes codes to frames in [-1, 1], each separately."""
    return np.clip(_each(self.coder, "decode", self.coder_params, np.asarray(codes)), -1, 1)

  def predict(self, start, end) -> Float[np.ndarray, "batch frames y x channels"]:
    """Predicts the codes of all frames from the codes of the first and of the last frame.

    `start` and `end` are [batch, y, x, channels].
    """
    return jax.device_get(_predict(self.predictor, self.frames)(self.params, start, end))

  def between(
    self, start: Float[np.ndarray, "batch h w 3"], end: Float[np.ndarray, "batch h w 3"]
  ) -> Float[np.ndarray, "batch {self.frames}-2 h w 3"]:
    """Predicts the frames between `start` and `end`, without these two."""
    return self.decode(self.predict(self.encode(start), self.encode(end))[:, 1:-1])


@functools.cache
def _predict(predictor: MotionPredictor, frames: int):
  return jax.jit(lambda params, start, end: predictor.apply(params, start, end, frames))


@functools.cache
def _coded(coder: Autoencoder, method: str):
  return jax.jit(lambda params, x: coder.apply(params, x[:, None], method=method)[:, 0])


def _each(coder: Autoencoder, method: str, params, x: np.ndarray) -> np.ndarray:
  flat, size = x.reshape(-1, *x.shape[-3:]), min(_AT_ONCE, x[..., 0, 0, 0].size)
  parts = [jax.device_get(_coded(coder, method)(params, flat[rows])) for rows in batches(len(flat), size)]
  made = np.concatenate(parts)[: len(flat)]
  return made.reshape(*x.shape[:-3], *made.shape[1:])


def sights(source: Digits, first: int, count: int) -> Float[np.ndarray, "count frames h w 3"]:
  """The frames, in [-1, 1], of `count` clips of `source`, beginning with clip number `first`."""
  return np.stack([source[first + i]["clip"]["sight"] for i in range(count)])


def _repainted(sight: Float[np.ndarray, "n frames h w 3"], seed: int) -> Float[np.ndarray, "n frames h w 3"]:
  """Recolours the clips with odd indices so that each fades from one random colour to another.

  The panels of a story may differ in colour, so the predictor must learn such changes.
  """
  colours = np.asarray(list(COLOURS.values()), np.float32)
  chosen = colours[np.random.default_rng(seed).integers(len(colours), size=(2, len(sight)))]
  faded = interpolated(*chosen, sight.shape[1])[:, :, None, None]
  ink = intensity(sight).max(-1, keepdims=True)
  is_odd = np.arange(len(sight))[:, None, None, None, None] % 2 == 1
  return np.where(is_odd, 2 * ink * faded - 1, sight)


def train_motion(
  steps: int = 1500, seed: int = 0, frames: int = 9, log: Callable[[int, float], None] | None = None, **fields
) -> MotionModel:
  """Trains a predictor on digits that move and bounce.

  Args:
    steps: steps of AdamW, on batches of 64 clips.
    seed: seed of parameters, clips and batches.
    frames: frames per clip.
    log: called with (step, mean squared error), at most a hundred times.
    **fields: fields of `MotionPredictor`.

  Returns:
    The trained model.
  """
  source = Digits(seed=seed, frames=frames, patch=1)
  model = _untrained(construct(MotionPredictor, fields, "motion"), source)
  codes = jnp.asarray(model.encode(_repainted(sights(source, 0, _CLIPS), seed)))
  schedule = optax.warmup_cosine_decay_schedule(0, _RATE, min(100, steps // 2), steps)
  train_step = MotionStep(
    predictor=model.predictor,
    code=codes.shape[2:],
    frames=frames,
    rows=_BATCH,
    optimizer=optax.adamw(schedule, b2=0.99, weight_decay=0.01),
  )
  state = jax.jit(train_step.init)(jax.random.key(seed))
  update = jax.jit(train_step.step, donate_argnums=0)
  for step in range(steps):
    state, scalars = update(state, codes)
    if log and (step + 1) % -(-steps // 100) == 0:
      log(step + 1, float(scalars["loss"]))
  return dataclasses.replace(model, params=state.params)


def _untrained(predictor: MotionPredictor, source: Digits) -> MotionModel:
  coder_params, config = load_weights(AUTOENCODER)
  return MotionModel(
    coder=construct(Autoencoder, config["model"], "model"),
    coder_params=coder_params,
    predictor=predictor,
    params=None,
    shape=source.senses["sight"].shape,
    frames=source.frames,
  )


def save_motion(path: AnyPath, model: MotionModel) -> None:
  """Writes the weights of the predictor, which `load_motion` reads; those of the autoencoder are left out."""
  predictor = model.predictor
  fields = {"width": predictor.width, "depth": predictor.depth, "heads": predictor.heads}
  save_weights(path, model.params, {"motion": fields, "frames": model.frames})


@functools.cache
def load_motion(path: AnyPath = MOTION) -> MotionModel:
  """Loads the predictor in `path`, by default the packaged one.

  Raises:
    UserError: there is no such file.
  """
  params, config = load_weights(path)
  predictor = construct(MotionPredictor, config["motion"], "motion")
  model = _untrained(predictor, Digits(frames=config["frames"], patch=1))
  return dataclasses.replace(model, params=params)
