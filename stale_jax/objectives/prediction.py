"""A network's prediction for a corrupted batch: the input of every objective of a denoiser."""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.objectives.first_frames import ConditioningFrames
from stale_jax.processes import Corruption, Process, TimeSampler, clip_times, corrupt
from stale_jax.processes.contextual import Biased, into_the_box
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
    bias: mean square of the relation h over all values; None without a relation.
  """

  output: Clip
  corruption: dict[str, Corruption]
  t: Float[Array, "batch frames"]
  scores: Float[Array, "batch labels"] | None = None
  mask: Clip | None = None
  bias: Float[Array, ""] | None = None


def predict(
  denoiser,
  process: Process,
  time_sampler: TimeSampler,
  batch: Batch,
  key: PRNGKeyArray,
  has_aux: bool = False,
  conditioning: ConditioningFrames | None = None,
  relate: Callable[[Clip, Context], Clip] | None = None,
) -> Prediction:
  """Corrupts each clip of the batch at random times and applies the denoiser.

  With a relation, each clip is corrupted with its bias (ContextDiff, `processes.contextual`), and the
  gradient of the loss reaches the relation through the noised clip. Without a penalty, the relation would
  write the clip into the bias, where no noise hides it: add `Prediction.bias` to the loss, times a weight.

  Args:
    denoiser: (clip, times, context) -> outputs.
    process: the noising process.
    time_sampler: draws the times.
    batch: the clean clips and their context.
    key: PRNG key of times and noise.
    has_aux: whether the denoiser returns (outputs, other fields of the `Prediction`).
    conditioning: conditioning frames, whose times replace the drawn ones (`FirstFrames.condition`).
    relate: (clip, context) -> h of every sense; None for a process without bias.
  """
  size, frames = next(iter(batch.clip.values())).shape[:2]
  key_time, key_noise = jax.random.split(key)
  t = clip_times(key_time, time_sampler, size, frames)
  if conditioning is not None:
    t = jnp.where(conditioning.mask, conditioning.times, t)
  corruption, bias = corrupt(process, batch.clip, t, key_noise), None
  if relate is not None:
    related = relate(batch.clip, batch.context)
    corruption = {
      name: _biased(process, related[name], batch.clip[name], t, c) for name, c in corruption.items()
    }
    bias = jnp.stack([jnp.mean(jnp.square(h)) for h in related.values()]).mean()
  output = denoiser({name: c.x_t for name, c in corruption.items()}, t, batch.context)
  output, aux = output if has_aux else (output, {})
  return Prediction(output=output, corruption=corruption, t=t, bias=bias, **aux)


def _biased(process: Process, h, clip, t, corruption: Corruption) -> Corruption:
  """The corruption of a clip whose relation is `h`."""
  bias = Biased(process=process, relation=into_the_box(h, clip)).bias(t)
  return corruption._replace(x_t=corruption.x_t + bias)


def real_frames(name: str, batch: Batch, like: Float[Array, "batch frames *shape"]):
  """Whether each value of a sense belongs to a real frame (not padding), in the shape of `like`."""
  real = batch.context.valid.get(name)
  return jnp.broadcast_to(True if real is None else per_frame(real, like), like.shape)
