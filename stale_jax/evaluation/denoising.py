"""The suite `denoising`: the loss of the process on held-out clips, at fixed times and with fixed noise.

No clip is generated, so a small difference between two models shows long before their samples differ. The
times are the same for every model, whatever time sampler it was trained with.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.compilation import OnMesh, batches
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.evaluation.needs import without_bias
from stale_jax.mesh import on_host
from stale_jax.processes import corrupt
from stale_jax.processes.process import per_frame

TIMES = (np.arange(16, dtype=np.float32) + 0.5) / 16
_BATCH = 64
ABOUT = {"loss": "loss of the process on held-out clips, averaged over times and senses; lower is better"}


def clip_losses(
  model, process, params, batch: Batch, t: float | Float[Array, ""], keys
) -> dict[str, Float[Array, "batch"]]:
  """Corrupts clips to time `t`, and computes the mean loss of each clip over its real (unpadded) frames.

  Args:
    model: the network.
    process: the noising process, which defines the loss.
    params: the parameters of the network.
    batch: the clips.
    t: time of all frames.
    keys: one PRNG key per clip.

  Returns:
    sense -> loss of each clip.
  """
  size, frames = next(iter(batch.clip.values())).shape[:2]
  t = jnp.full((size, frames), t)

  corruption = corrupt(process, batch.clip, t, keys)
  output = model.apply(params, {name: c.x_t for name, c in corruption.items()}, t, batch.context)
  losses = {}
  for name in output:
    loss = process.loss(output[name], corruption[name], t)
    real = jnp.broadcast_to(per_frame(batch.context.valid[name], loss), loss.shape)
    axes = tuple(range(1, loss.ndim))
    losses[name] = jnp.sum(loss * real, axes) / jnp.maximum(jnp.sum(real, axes), 1)
  return losses


def held_out_losses(model, clips: int, seed: int = 0) -> dict[str, Float[np.ndarray, "clips times"]]:
  """Sense -> loss of each of the first `clips` test clips, given their captions, at each of TIMES.

  The noise of a clip depends on seed, clip, time and sense alone, so losses of two models can be paired.

  Raises:
    UserError: the source has no test split.
  """
  experiment = model.system
  source = experiment.data.source.test_split()
  run = OnMesh(lambda *args: clip_losses(experiment.network, experiment.diffusion.process, *args))
  parts: list[dict[str, np.ndarray]] = []
  for rows in batches(clips, _BATCH):
    batch = collate([source[int(i)] for i in rows], experiment.data.senses, experiment.network.text_length)
    each = [run(model.params, batch, t, _keys(seed, rows, i)) for i, t in enumerate(TIMES)]
    parts.append({name: np.stack([x[name] for x in on_host(each)], 1) for name in each[0]})
  return {n: np.concatenate([part[n] for part in parts])[:clips].astype(np.float64) for n in parts[0]}


def evaluate_denoising(model, clips: int = 256, seed: int = 0) -> tuple[dict[str, Any], None]:
  """Computes the loss of the process on the first `clips` test clips.

  Args:
    model: a `stale_jax.Model`.
    clips: number of clips, at least 2.
    seed: seed of the noise.

  Returns:
    The scores, and None in place of clips. The scores are
    loss: mean over clips, times and senses, with equal weights; loss/SENSE: the same for one sense.
    error: score -> its standard error over clips, for this one model. It does not include the spread over
      training seeds.
    at: time -> mean loss over clips and senses.
    clips: number of clips.

  Raises:
    UserError: the source has no test split, or `clips` is below 2.
  """
  without_bias('the suite "denoising"', model.system)
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  losses = held_out_losses(model, clips, seed)
  mean = np.mean(list(losses.values()), 0)  # [clips, times]
  of_clip = {"loss": mean.mean(1)} | {f"loss/{name}": x.mean(1) for name, x in losses.items()}
  return {
    **{name: float(x.mean()) for name, x in of_clip.items()},
    "error": {name: float(x.std(ddof=1) / np.sqrt(clips)) for name, x in of_clip.items()},
    "at": {f"{t:g}": float(x) for t, x in zip(TIMES, mean.mean(0), strict=True)},
    "clips": clips,
  }, None


def _keys(seed: int, clips: np.ndarray, time: int):
  key = jax.random.fold_in(jax.random.key(seed), time)
  return jax.vmap(lambda clip: jax.random.fold_in(key, clip))(jnp.asarray(clips))
