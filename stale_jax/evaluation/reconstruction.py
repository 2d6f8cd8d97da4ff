"""The suite `reconstruction`: what of held-out clips an autoencoder's latents keep, and how they lie."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.compilation import batches
from stale_jax.errors import UserError
from stale_jax.models import Autoencoder
from stale_jax.models.autoencoder import depth_to_space, lengthen, space_to_depth

ABOUT = {
  "mse": "mean square of what is lost of held-out clips, which lie in [-1, 1]; the less the better",
  "psnr": "the same as peak signal-to-noise ratio, dB; the more the better",
  "over_pca": "mse over that of the best linear code of the same size, patch by patch",
  "std": "standard deviation of latents; of the uniform prior it is .577",
  "nats": "told of a clip by a latent number, of 'kl'",
  "codes": "perplexity of the codewords, over their number, of 'fsq'",
}
_BATCH = 32
_TRAIN = 256  # Clips that the linear code is fitted to.


def linear_code(
  train: Float[np.ndarray, "n values"], test: Float[np.ndarray, "m values"], channels: int
) -> Float[np.ndarray, "m values"]:
  """`test` after the best linear code of `train` by so many numbers, and back (principal components)."""
  mean = train.mean(0)
  _, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
  kept = vectors[:, -channels:]
  return mean + (test - mean) @ kept @ kept.T


def evaluate_reconstruction(model, clips: int = 256, seed: int = 0) -> tuple[dict[str, Any], Clip]:
  """Codes and decodes held-out clips.

  Args:
    model: a `stale_jax.Model` that is an autoencoder.
    clips: how many.
    seed: the first clip's index.

  Returns:
    The scores, as in ABOUT, and the clips, each real one before what was made of it.

  Raises:
    UserError: fewer than two clips.
  """
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  coder, source = model.system.network, model.system.data.source
  test = _sight(dataclasses.replace(source, split="test"), seed, clips)
  train = _sight(dataclasses.replace(source, split="train"), seed, _TRAIN)
  run = jax.jit(lambda params, x: _coded(coder, params, x))
  parts = [jax.device_get(run(model.params, test[rows])) for rows in batches(clips, _BATCH)]
  made, z = (np.concatenate(each)[:clips] for each in zip(*parts, strict=True))
  mse = float(np.mean(np.square(made - test)))
  blocks = [_blocks(x, coder).reshape(-1, coder.time * coder.space**2 * 3) for x in (train, test)]
  linear = linear_code(*blocks, coder.latent_channels).reshape(_blocks(test, coder).shape)
  pca = float(np.mean(np.square(_unblocked(linear, coder) - test)))
  scores = {
    "mse": mse,
    "psnr": float(10 * np.log10(4 / mse)),
    "pca": pca,
    "over_pca": mse / pca,
    "std": float(z.std()),
    "std_each": z.std((0, 1, 2, 3)).tolist(),
    "latent": list(z.shape[1:]),
    "numbers": int(np.prod(test.shape[1:])) / int(np.prod(z.shape[1:])),
    "clips": clips,
  }
  if coder.bottleneck == "fsq":
    count = np.bincount(np.asarray(coder.indices(z)).ravel(), minlength=int(np.prod(coder.levels)))
    share = count[count > 0] / count.sum()
    scores["codes"] = float(np.exp(-np.sum(share * np.log(share))) / len(count))
  else:
    nats = jax.jit(lambda params, x, key: coder.apply(params, {"sight": x}, rngs={"latent": key})[2])
    scores["nats"] = float(nats(model.params, test[:_BATCH], jax.random.key(seed)))
  pairs = np.stack([test, made], 1).reshape(-1, *test.shape[1:])
  return scores, {"sight": pairs}


def _coded(coder: Autoencoder, params, x):
  z = coder.apply(params, x, method="encode")
  return coder.apply(params, z, method="decode"), z


def _blocks(x, coder: Autoencoder):
  return np.asarray(space_to_depth(lengthen(x, coder.time), coder.time, coder.space))


def _unblocked(x, coder: Autoencoder):
  return np.asarray(depth_to_space(x, coder.time, coder.space))[:, coder.time - 1 :]


def _sight(source, start: int, count: int) -> Float[np.ndarray, "count frames height width 3"]:
  clips = (source[(start + i) % len(source)]["clip"] for i in range(count))
  return np.stack([clip["sight"] for clip in clips if "sight" in clip])
