"""ART-V: one frame at a time, after the first frame of the movie and the two before it (arXiv 2311.18834).

As time is an array, this takes no other network: it is a clip of four frames, [first, i - 2, i - 1, i], the
*anchor*, the two *references* and the new one, at times [k, k, k, t]. They lie at positions 0 to 3, as the
sinks and the newest frames of a rolling cache do (`models.kv_cache`), however far behind the anchor is: no
frame of a movie is at a position that training has not seen.

*Dynamic noise*: the given frames carry noise of a time k, drawn anew for every example, of which the network
is told; a movie's own frames are never as good as the data, and so it does not trust every pixel of them. The
anchor is left out now and then, and so that movies can begin, the new frame is as often as any other the
first, after none, or the second, after one.

*The mask*: a head of the network says, value by value, how much of the new frame is its own and how much is
that of the frame before (`processes.anchored`). What stands still can be copied, to the bit, instead of being
made anew a little wrong every time, which is what drifts. Nothing but the ordinary loss teaches it. What is
copied is the frame before as the network sees it, with the noise of time k: so that the mask learns to copy
only where that is worth having, half of the examples are at k = 0, as a movie is, and the network is told.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.errors import UserError
from stale_jax.objectives.first_frames import Held
from stale_jax.processes import anchored
from stale_jax.processes.process import per_frame

GIVEN = 3  # Frames: the anchor and two references.


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
    noise: the latest time k that given frames are at, from 0 on, drawn evenly; in half the examples it is 0.
    drop: share of examples without the anchor.
    mask: whether the network may copy from the frame before.
  """

  noise: float = 0.25
  drop: float = 0.1
  mask: bool = True

  def __post_init__(self):
    for name in ("noise", "drop"):
      if not 0 <= getattr(self, name) <= 1:
        raise UserError(f"artv.{name}={getattr(self, name)} must lie from 0 to 1.")

  def give(self, batch: Batch, key: PRNGKeyArray) -> tuple[Held, Batch, Batch]:
    """As `FirstFrames.give`, of four frames out of each clip: any frame, after those that are given.

    (which of the four are given, and when they are; the batch as it is shown; and as it is judged)
    """
    size, length = next(iter(batch.clip.values())).shape[:2]
    key_frame, key_when, key_drop, key_clean = jax.random.split(key, 4)
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
    when = jnp.where(jax.random.bernoulli(key_clean, 0.5, (size, 1)), 0.0, when)
    return (~new, jnp.broadcast_to(when, new.shape)), shown, judged


def copying(model, params, rngs=None) -> Callable[..., Clip]:
  """The denoiser of a network with a mask, which copies the frame before the last as far as that says.

  Args:
    model: a `Transformer`; without a mask its denoiser is the network itself.
    params: of it.
    rngs: of training.
  """

  def network(clip: Clip, t, context: Context) -> Clip:
    return model.apply(params, clip, t, context, rngs=rngs)

  def masked(clip: Clip, t, context: Context) -> Clip:
    output, sown = model.apply(params, clip, t, context, rngs=rngs, mutable=["mask"])

    def one(name, x):
      share, real = sown["mask"][name][0][:, -1:], context.valid.get(name)
      if real is not None:
        share = jnp.where(per_frame(real[:, -2:-1], share), share, 1.0)
      return jnp.concatenate([x[:, :-1], anchored(x[:, -1:], clip[name][:, -2:-1], share)], 1)

    return {name: one(name, x) for name, x in output.items()}

  return masked if model.mask else network
