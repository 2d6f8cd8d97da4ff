"""A network's prediction for a corrupted batch: the input of every objective of a denoiser."""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip
from stale_jax.objectives.first_frames import ConditioningFrames
from stale_jax.processes import Corruption, Process, TimeSampler, clip_times, corrupt
from stale_jax.processes.process import per_frame


@flax.struct.dataclass
class Prediction:
  """A network's prediction for a corrupted batch.

  Attributes:
    output: the network's output, in the shapes of the clip.
    corruption: sense -> the corruption of the clip.
    t: the time of each frame.
    scores: the network's score of each label; None if it predicts no labels.
    mask: sense -> share of the last frame that comes from the network, [batch, 1, *shape]; None if the
      network cannot copy (`objectives.artv`).
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
  has_aux: bool = False,
  conditioning: ConditioningFrames | None = None,
) -> Prediction:
  """Corrupts each clip of the batch at random times and applies the denoiser.

  Args:
    denoiser: (clip, times, context) -> outputs.
    process: the noising process.
    time_sampler: draws the times.
    batch: the clean clips and their context.
    key: PRNG key of times and noise.
    has_aux: whether the denoiser returns (outputs, other fields of the `Prediction`).
    conditioning: conditioning frames, whose times replace the drawn ones (`FirstFrames.condition`).
  """
  size, frames = next(iter(batch.clip.values())).shape[:2]
  key_time, key_noise = jax.random.split(key)
  t = clip_times(key_time, time_sampler, size, frames)
  if conditioning is not None:
    t = jnp.where(conditioning.mask, conditioning.times, t)
  corruption = corrupt(process, batch.clip, t, key_noise)
  output = denoiser({name: c.x_t for name, c in corruption.items()}, t, batch.context)
  output, aux = output if has_aux else (output, {})
  return Prediction(output=output, corruption=corruption, t=t, **aux)


def real_frames(name: str, batch: Batch, like: Float[Array, "batch frames *shape"]):
  """Whether each value of a sense belongs to a real frame (not padding), in the shape of `like`."""
  real = batch.context.valid.get(name)
  return jnp.broadcast_to(True if real is None else per_frame(real, like), like.shape)
