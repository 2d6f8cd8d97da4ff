"""ART-V: one frame at a time, after the first frame of the movie and the two before it (arXiv 2311.18834).

As time is an array, this takes no other network: it is a clip of four frames, [first, i - 2, i - 1, i], the
*anchor*, the two *references* and the new one, at times [0, k, k, t]. They lie at positions 0 to 3, as the
sinks and the newest frames of a rolling cache do (`models.kv_cache`), however far behind the anchor is: no
frame of a movie is at a position that training has not seen.

*Dynamic noise*: the references carry noise of a time k, drawn anew for every example, of which the network is
told; a movie's own frames get worse one after another, and so it does not trust every pixel of them. It does
trust the anchor, which is as good as it ever was. The anchor is left out now and then, and so that movies can
begin, the new frame is as often as any other the first, after none, or the second, after one.

*The mask*: a head of the network says, value by value, how much of the new frame is its own and how much is
that of the frame before (`processes.anchored`). What stands still can be copied, to the bit, instead of being
made anew a little wrong every time, which is what drifts. What is copied is the frame before as it is,
without the noise of time k. The ordinary loss alone teaches the mask what moves, but leaves a part of what
stands still to the network, for one frame made anew is hardly worse than a copy; two hundred such are. So
noise throws the gates of the mask to one side or the other in training (`models.perturbation.Concrete`), and
what is the network's own costs a little (`Copy`).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.fields import check_fields, number
from stale_jax.objectives.first_frames import Held
from stale_jax.objectives.objective import Objective
from stale_jax.objectives.prediction import Prediction
from stale_jax.processes import anchored
from stale_jax.processes.process import per_frame

GIVEN = 3  # Frames: the anchor and two references.
IS_REFERENCE = np.arange(GIVEN) > 0


def given_frames(
  frame: Int[Array, "*batch"],
) -> tuple[Int[Array, "*batch given"], Bool[Array, "*batch given"]]:
  """(which frames `frame` is made after, which of these there are): the first, the last but one, the last."""
  order = jnp.stack([0 * frame, frame - 2, frame - 1], -1)
  return jnp.maximum(order, 0), (order >= 0) & (frame[..., None] > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artv:
  """How a model learns to make frames one by one.

  Attributes:
    noise: the latest time k that references are at, from 0 on, drawn evenly. Those of a movie
      (`sampling.Rollout.noise`) want some too.
    drop: share of examples without the anchor.
    mask: whether the network may copy from the frame before.
    copy: the weight of `Copy` in the objective, if it may.
  """

  noise: float = number(0.5, least=0, most=1)
  drop: float = number(0.1, least=0, most=1)
  mask: bool = True
  copy: float = number(0.01, least=0)

  def __post_init__(self):
    check_fields(self, "artv")

  def give(self, batch: Batch, key: PRNGKeyArray) -> tuple[Held, Batch, Batch]:
    """As `FirstFrames.give`, of four frames out of each clip: any frame, after those that are given.

    (which of the four are given, and when they are; the batch as it is shown; and as it is judged)
    """
    size, length = next(iter(batch.clip.values())).shape[:2]
    key_frame, key_when, key_drop = jax.random.split(key, 3)
    frame = jax.random.randint(key_frame, (size,), 0, length)
    order, there = given_frames(frame)
    there = there.at[:, 0].set(there[:, 0] & (jax.random.uniform(key_drop, (size,)) >= self.drop))
    order = jnp.concatenate([order, frame[:, None]], 1)
    there = jnp.concatenate([there, jnp.ones((size, 1), bool)], 1)

    def four(x):
      return jnp.take_along_axis(x, jnp.reshape(order, (*order.shape, *(1,) * (x.ndim - 2))), 1)

    context = batch.context
    valid = {
      name: four(context.valid[name]) & there if name in context.valid else there for name in batch.clip
    }
    new = jnp.broadcast_to(jnp.arange(GIVEN + 1) == GIVEN, there.shape)
    clip = {name: four(x) for name, x in batch.clip.items()}
    shown, judged = (
      batch.replace(clip=clip, context=context.replace(valid=v))
      for v in (valid, {name: x & new for name, x in valid.items()})
    )
    when = self.noise * jax.random.uniform(key_when, (size, 1))
    return (~new, when * np.append(IS_REFERENCE, False)), shown, judged


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy(Objective):
  """What is the network's own costs a little, so that it copies wherever that does.

  Attributes:
    weight: of the mean of the mask, beside the other objectives.
  """

  weight: float

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """The weighted `loss` to minimise, and the mean over the values of each sense as `mask/<sense>`."""
    means = {f"mask/{name}": share.mean() for name, share in prediction.mask.items()}
    return {"loss": self.weight * sum(means.values()), **means}


def masked(
  model, params, clip: Clip, t: Float[Array, "batch frames"], context: Context, given: Clip, rngs=None
) -> tuple[Clip, Clip]:
  """(outputs, whose last frame copies the last of `given` as far as the mask of the network says; the mask).

  `given`, sense -> [batch, frames, *shape], are the frames before as they are, without the noise of time k;
  where `clip` is of several times as many examples, each of them again and again. The mask, sense ->
  [batch, 1, *shape], is 1 where there is no frame before.
  """
  output, sown = model.apply(params, clip, t, context, rngs=rngs, mutable=["mask"])
  mask, mixed = {}, {}
  for name, x in output.items():
    share, real = sown["mask"][name][0][:, -1:], context.valid.get(name)
    if real is not None:
      share = jnp.where(per_frame(real[:, -2:-1], share), share, 1.0)
    mask[name] = share
    before = jnp.resize(given[name][:, -1:], share.shape)
    mixed[name] = jnp.concatenate([x[:, :-1], anchored(x[:, -1:], before, share)], 1)
  return mixed, mask


def copying(model, params, given: Clip) -> Callable[..., Clip]:
  """The denoiser of a `Transformer` after the frames `given`: `masked`, or the network if it has no mask."""

  def denoiser(clip: Clip, t, context: Context) -> Clip:
    if model.mask:
      return masked(model, params, clip, t, context, given)[0]
    return model.apply(params, clip, t, context)

  return denoiser
