"""The suite `reconstruction`: error of an autoencoder on held-out clips, and spread of its latents."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.compilation import OnMesh, batches
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.models import Autoencoder
from stale_jax.models.autoencoder import depth_to_space, lengthen, space_to_depth

ABOUT = {
  "mse": "mean squared error on held-out clips, with values in [-1, 1]; lower is better",
  "psnr": "the same as peak signal-to-noise ratio, in dB; higher is better",
  "over_pca": "mse divided by that of the best linear code of equal size (PCA of patches); lower is better",
  "std": "standard deviation of the latents; the uniform prior has .577",
  "nats": "KL divergence per latent value, in nats, of the bottleneck 'kl'",
  "codes": "perplexity of the codewords divided by their number, of the bottleneck 'fsq'; 1 uses all equally",
}
_BATCH = 32
_TRAIN = 256  # Number of training clips to which the linear code is fitted.


def linear_code(
  train: Float[np.ndarray, "n values"], test: Float[np.ndarray, "m values"], channels: int
) -> Float[np.ndarray, "m values"]:
  """`test` encoded and decoded with the first `channels` principal components of `train`."""
  mean = train.mean(0)
  _, vectors = np.linalg.eigh(np.atleast_2d(np.cov(train, rowvar=False)))
  components = vectors[:, -channels:]
  return mean + (test - mean) @ components @ components.T


def evaluate_reconstruction(model, clips: int = 256, seed: int = 0) -> tuple[dict[str, Any], Clip]:
  """Encodes and decodes held-out clips.

  Args:
    model: a `stale_jax.Model` that is an autoencoder.
    clips: number of clips, at least 2.
    seed: index of the first clip.

  Returns:
    The scores, and the clips: each real clip is followed by its reconstruction. Besides those of ABOUT, the
    scores are
    pca: mean squared error of the linear code.
    std_each: standard deviation of the latents by channel.
    latent: shape of the latents of a clip, [frames, height, width, channels].
    numbers: number of values of a clip divided by that of its latents.
    clips: number of clips.

  Raises:
    UserError: `clips` is below 2.
  """
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  coder, source = model.system.network, model.system.data.source
  test = _sight(dataclasses.replace(source, split="test"), seed, clips)
  train = _sight(dataclasses.replace(source, split="train"), seed, _TRAIN)
  run = OnMesh(lambda params, x: _coded(coder, params, x))
  parts = [on_host(run(model.params, test[rows])) for rows in batches(clips, _BATCH)]
  decoded, z = (np.concatenate(each)[:clips] for each in zip(*parts, strict=True))
  mse = float(np.mean(np.square(decoded - test)))
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
    nats = OnMesh(lambda params, x, key: coder.apply(params, {"sight": x}, rngs={"latent": key})[2])
    scores["nats"] = float(on_host(nats(model.params, test[:_BATCH], jax.random.key(seed))))
  pairs = np.stack([test, decoded], 1).reshape(-1, *test.shape[1:])
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
