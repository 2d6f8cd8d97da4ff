"""First frames that are given: a share of training clips is to be continued, not made from nothing.

Their first frames are at a time of their own, (nearly) clean, while the others are noised as ever: time is an
array, so that a picture that comes alive needs no other network (Diffusion Forcing, arXiv 2407.01392). The
little noise on them, whose amount the network is told, keeps it from trusting every pixel of a picture
that is none of the training's (noise augmentation: Stable Video Diffusion, arXiv 2311.15127, after
arXiv 2106.15282).
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.fields import check_fields, number

# Which frames are given, and at which time each of them is.
Held = tuple[Bool[Array, "batch frames"], Float[Array, "batch frames"]]
# Of clips with given frames, how many have no other sense there: a picture has no sound.
_ALONE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstFrames:
  """How often first frames are given in training, and how clean.

  Attributes:
    share: of the clips; 0: never.
    frames: how many.
    noise: the latest time that they are at, from 0 on, drawn evenly.
    sense: the first of the config's senses, of which frames are given.
  """

  share: float = number(0.0, least=0, most=1)
  frames: int = number(1, least=1)
  noise: float = number(0.1, least=0, most=1)
  sense: str = "sight"

  def __post_init__(self):
    check_fields(self, "first")

  def give(self, batch: Batch, key: PRNGKeyArray) -> tuple[Held | None, Batch, Batch]:
    """(which frames are given, and when they are; the batch as it is shown; and as it is judged).

    What was given counts for nothing when the prediction is judged.
    """
    if not self.share:
      return None, batch, batch
    size, frames = next(iter(batch.clip.values())).shape[:2]
    key_which, key_when, key_alone = jax.random.split(key, 3)
    which = jax.random.uniform(key_which, (size, 1)) < self.share
    given = which & (jnp.arange(frames) < self.frames)
    # Not where nothing would be left to tell, as of an image.
    real = batch.context.valid.get(self.sense)
    given &= frames > self.frames if real is None else real[:, self.frames :].any(1, keepdims=True)
    when = self.noise * jax.random.uniform(key_when, (size, 1))
    alone = given & (jax.random.uniform(key_alone, (size, 1)) < _ALONE)
    valid = {name: batch.context.valid.get(name, jnp.ones_like(given)) for name in batch.clip}
    told = {name: x if name == self.sense else x & ~alone for name, x in valid.items()}
    asked = {name: x & ~given for name, x in valid.items()}
    shown, judged = (batch.replace(context=batch.context.replace(valid=v)) for v in (told, asked))
    return (given, jnp.broadcast_to(when, given.shape)), shown, judged


def hold(
  x: Clip,
  first: Clip,
  times: Float[Array, "steps+1 batch frames"],
  context: Context,
  at: Float[Array, "batch given"] | float = 0.0,
) -> tuple[Clip, Float[Array, "steps+1 batch frames"], Context]:
  """(the clip that sampling begins with, its times, its context), so that `first` stays as it is.

  Args:
    x: the prior's.
    first: sense -> [batch, given frames, *shape]; of another sense those frames are not known.
    times: of all frames.
    context: of the clip.
    at: the times that `first` is at.
  """
  given = next(iter(first.values())).shape[1]
  rest = jnp.broadcast_to(jnp.arange(times.shape[2]) >= given, times.shape[1:])
  x = {name: v.at[:, :given].set(first[name] if name in first else -1.0) for name, v in x.items()}
  unknown = {name: rest for name in x if name not in first}
  times = times.at[:, :, :given].set(at)
  return x, times, context.replace(valid={**context.valid, **unknown})
