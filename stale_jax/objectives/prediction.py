"""A network's answer to a corrupted batch: what every objective of a denoiser judges."""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip
from stale_jax.processes import Corruption, Process, TimeSampler, clip_times, corrupt
from stale_jax.processes.process import per_frame


@flax.struct.dataclass
class Prediction:
  """A network's answer to a corrupted batch.

  Attributes:
    output: the network's, in the shapes of the clip.
    corruption: sense -> what was done to it.
    t: when, [batch, frames].
    scores: the network's for each label of each example, if it has any.
    mask: sense -> how much of the last frame is the network's own, if it may copy (`objectives.artv`).
  """

  output: Clip
  corruption: dict[str, Corruption]
  t: Float[Array, "batch frames"]
  scores: Float[Array, "batch labels"] | None = None
  mask: Clip | None = None


def predict(
  denoiser,
  process: Process,
  time_sampler: TimeSampler,
  batch: Batch,
  key: PRNGKeyArray,
  says_more: bool = False,
  held: tuple[Array, Array] | None = None,
) -> Prediction:
  """Corrupts each clip of the batch at times drawn from `time_sampler` and asks the denoiser.

  With `says_more` the denoiser answers (clip, other fields of the prediction). `held`, (which, when)
  [batch, frames], are frames at times of their own (`FirstFrames.give`).
  """
  size, frames = next(iter(batch.clip.values())).shape[:2]
  key_time, key_noise = jax.random.split(key)
  t = clip_times(key_time, time_sampler, size, frames)
  if held is not None:
    t = jnp.where(held[0], held[1], t)
  corruption = corrupt(process, batch.clip, t, key_noise)
  output = denoiser({name: c.x_t for name, c in corruption.items()}, t, batch.context)
  output, more = output if says_more else (output, {})
  return Prediction(output=output, corruption=corruption, t=t, **more)


def real_frames(name: str, batch: Batch, like: Float[Array, "batch frames *shape"]):
  """Which values of that sense are real, in the shape of `like`."""
  real = batch.context.valid.get(name)
  return jnp.broadcast_to(True if real is None else per_frame(real, like), like.shape)
