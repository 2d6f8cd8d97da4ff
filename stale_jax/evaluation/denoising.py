"""The suite `denoising`: the process's own loss on held-out clips, at fixed times and noise.

Nothing is sampled, so that a small difference between two models shows long before their
samples differ. The times are the same for every model, whatever density it was trained by.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.compilation import batches
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.processes import corrupt
from stale_jax.processes.process import per_frame

TIMES = (np.arange(16, dtype=np.float32) + 0.5) / 16
_BATCH = 64
ABOUT = {"loss": "the process's loss on held-out clips, every time and sense alike; the less the better"}


def clip_losses(model, process, params, batch: Batch, t: float, keys) -> dict[str, Float[Array, "batch"]]:
  """Sense -> each clip's mean loss over its real frames, all of them at time `t`; its noise is of its key."""
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
  """Sense -> the loss of each of the first `clips` test clips, told their captions, at each of TIMES.

  The noise of a clip depends on seed, clip, time and sense alone: models can be paired.

  Raises:
    UserError: the source has no test split.
  """
  experiment = model.system
  source = experiment.data.source.test_split()
  run = jax.jit(lambda *args: clip_losses(experiment.network, experiment.diffusion.process, *args))
  parts: list[dict[str, np.ndarray]] = []
  for rows in batches(clips, _BATCH):
    batch = collate([source[int(i)] for i in rows], experiment.data.senses, experiment.network.text_length)
    each = [run(model.params, batch, t, _keys(seed, rows, i)) for i, t in enumerate(TIMES)]
    parts.append({name: np.stack([x[name] for x in jax.device_get(each)], 1) for name in each[0]})
  return {n: np.concatenate([part[n] for part in parts])[:clips].astype(np.float64) for n in parts[0]}


def evaluate_denoising(model, clips: int = 256, seed: int = 0) -> tuple[dict[str, Any], None]:
  """The process's own loss on the first `clips` test clips.

  Args:
    model: a `stale_jax.Model`.
    clips: how many.
    seed: of the noise.

  Returns:
    The scores. They are
    loss: mean over clips, times and senses, each alike; loss/SENSE of one sense.
    error: the standard errors of these, of the choice of clips.
    at: of each time, the mean over clips and senses.

  Raises:
    UserError: the source has no test split.
  """
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  losses = held_out_losses(model, clips, seed)
  every = np.mean(list(losses.values()), 0)  # [clips, times]
  of_clip = {"loss": every.mean(1)} | {f"loss/{name}": x.mean(1) for name, x in losses.items()}
  return {
    **{name: float(x.mean()) for name, x in of_clip.items()},
    "error": {name: float(x.std(ddof=1) / np.sqrt(clips)) for name, x in of_clip.items()},
    "at": {f"{t:g}": float(x) for t, x in zip(TIMES, every.mean(0), strict=True)},
    "clips": clips,
  }, None


def _keys(seed: int, clips: np.ndarray, time: int):
  key = jax.random.fold_in(jax.random.key(seed), time)
  return jax.vmap(lambda clip: jax.random.fold_in(key, clip))(jnp.asarray(clips))
