"""Conditioning on first frames: in a share of the training clips, the first frames are given.

The first frames of these clips have a time of their own, at or near 0, while the other frames are noised as
usual. Time has one value per frame, so image-to-video generation needs no separate network (Diffusion
Forcing, arXiv 2407.01392). The first frames carry a little noise, and the network is conditioned on its
amount. The noise keeps the network from trusting every pixel of a picture that differs from the training data
(noise augmentation: Stable Video Diffusion, arXiv 2311.15127, after arXiv 2106.15282).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.fields import check_fields, number

# Share of the conditioned clips whose first frames have no other sense: a picture has no sound.
_ALONE = 0.5


class ConditioningFrames(NamedTuple):
  """The frames of a batch that condition the others.

  Attributes:
    mask: whether a frame is a conditioning frame.
    times: the times of the conditioning frames; other values are not used.
  """

  mask: Bool[Array, "batch frames"]
  times: Float[Array, "batch frames"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstFrames:
  """Settings of the training of a model that continues given first frames.

  Attributes:
    share: share of the clips that are conditioned on their first frames; 0 disables the conditioning.
    frames: number of conditioning frames.
    noise: upper bound of the time of the conditioning frames, which is uniform on [0, noise].
    sense: the sense whose first frames are given, which is the first of the config's senses.
  """

  share: float = number(0.0, least=0, most=1)
  frames: int = number(1, least=1)
  noise: float = number(0.1, least=0, most=1)
  sense: str = "sight"

  def __post_init__(self):
    check_fields(self, "first")

  def condition(self, batch: Batch, key: PRNGKeyArray) -> tuple[ConditioningFrames | None, Batch, Batch]:
    """Draws the clips that are conditioned on their first frames, and the times of these frames.

    Returns:
      The conditioning frames (None if `share` is 0), the batch that the network sees, and the batch that the
      loss is computed on, in which conditioning frames are not valid.
    """
    if not self.share:
      return None, batch, batch
    size, frames = next(iter(batch.clip.values())).shape[:2]
    key_mask, key_time, key_alone = jax.random.split(key, 3)
    is_conditioned = jax.random.uniform(key_mask, (size, 1)) < self.share
    mask = is_conditioned & (jnp.arange(frames) < self.frames)
    # A clip without further frames, such as an image, has nothing to continue.
    real = batch.context.valid.get(self.sense)
    mask &= frames > self.frames if real is None else real[:, self.frames :].any(1, keepdims=True)
    times = self.noise * jax.random.uniform(key_time, (size, 1))
    is_alone = mask & (jax.random.uniform(key_alone, (size, 1)) < _ALONE)
    valid = {name: batch.context.valid.get(name, jnp.ones_like(mask)) for name in batch.clip}
    seen = {name: x if name == self.sense else x & ~is_alone for name, x in valid.items()}
    predicted = {name: x & ~mask for name, x in valid.items()}
    network_batch, loss_batch = (
      batch.replace(context=batch.context.replace(valid=v)) for v in (seen, predicted)
    )
    return ConditioningFrames(mask, jnp.broadcast_to(times, mask.shape)), network_batch, loss_batch


def hold(
  x: Clip,
  first: Clip,
  times: Float[Array, "grid batch frames"],
  context: Context,
  at: Float[Array, "batch given"] | float = 0.0,
) -> tuple[Clip, Float[Array, "grid batch frames"], Context]:
  """Prepares sampling that continues first frames; they keep their values because their times are constant.

  Args:
    x: a sample of the prior, sense -> [batch, frames, *shape].
    first: sense -> [batch, given frames, *shape]. The given frames of any other sense are marked as not
      valid.
    times: the time grid of all frames.
    context: the context of the clip.
    at: the times of the frames in `first`.

  Returns:
    The clip that sampling starts from, its time grid and its context.
  """
  given = next(iter(first.values())).shape[1]
  rest = jnp.broadcast_to(jnp.arange(times.shape[2]) >= given, times.shape[1:])
  x = {name: v.at[:, :given].set(first[name] if name in first else -1.0) for name, v in x.items()}
  unknown = {name: rest for name in x if name not in first}
  times = times.at[:, :, :given].set(at)
  return x, times, context.replace(valid={**context.valid, **unknown})
