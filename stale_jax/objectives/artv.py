"""ART-V: generates a movie frame by frame, from its first frame and the two previous ones (arXiv 2311.18834).

Time has one value per frame, so ART-V needs no separate network: the network sees a clip of four frames,
[first, i - 2, i - 1, i], at times [0, k, k, t]. They are the *anchor*, two *references* and the new frame.
Their positions are 0 to 3, like those of the sinks and newest frames of a rolling cache (`models.kv_cache`),
however far back the anchor is. Generation therefore never uses a position that training has not seen.

*Dynamic noise*: each training example draws a time k, and its references carry noise of that time. The
network is conditioned on k. Generated frames degrade one after another, and the noise teaches the network not
to trust every pixel of the references. The anchor does not degrade and stays clean. A share of the examples
has no anchor. The new frame is drawn uniformly from the clip, so the network also learns how a movie begins:
the first frame has no frames before it, the second has one.

*The mask*: a head of the network predicts, for each value of the new frame, how much comes from the network
and how much is copied from the previous frame (`processes.anchored`). Static content can then be copied
exactly. Generating it anew adds a small error to every frame, and these errors accumulate as drift. The
network copies from the previous frame without the noise of time k. The ordinary loss alone teaches the mask
what moves, but it leaves some static content to the network, because a single regenerated frame is hardly
worse than a copy; only over hundreds of frames does the error matter. Training therefore adds noise that
pushes the mask's gates towards 0 or 1 (`models.perturbation.concrete`), and a small penalty on what the mask
leaves to the network (`Copy`).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.fields import check_fields, number
from stale_jax.objectives.first_frames import ConditioningFrames
from stale_jax.objectives.objective import Objective
from stale_jax.objectives.prediction import Prediction
from stale_jax.processes import anchored
from stale_jax.processes.process import per_frame

# Number of conditioning frames: the anchor and two references.
GIVEN = 3
IS_REFERENCE = np.arange(GIVEN) > 0


def given_frames(
  frame: Int[Array, "*batch"],
) -> tuple[Int[Array, "*batch given"], Bool[Array, "*batch given"]]:
  """Selects the frames that condition the generation of a frame: the first one and the two previous ones.

  Args:
    frame: index of the frame to generate.

  Returns:
    The indices of the three conditioning frames, [first, frame - 2, frame - 1], and whether each exists. The
    index of a frame that does not exist is replaced by 0.
  """
  order = jnp.stack([0 * frame, frame - 2, frame - 1], -1)
  return jnp.maximum(order, 0), (order >= 0) & (frame[..., None] > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artv:
  """Settings of the training of a model that generates one frame at a time.

  Attributes:
    noise: upper bound of the references' time k, which is uniform on [0, noise]. The references need some
      noise in generation too (`sampling.Rollout.noise`).
    drop: share of examples without the anchor.
    mask: whether the network has a mask, so that it can copy from the previous frame.
    copy: weight of the `Copy` penalty in the objective; only used with `mask`.
  """

  noise: float = number(0.5, least=0, most=1)
  drop: float = number(0.1, least=0, most=1)
  mask: bool = True
  copy: float = number(0.01, least=0, most=1e6)

  def __post_init__(self):
    check_fields(self, "artv")

  def condition(self, batch: Batch, key: PRNGKeyArray) -> tuple[ConditioningFrames, Batch, Batch]:
    """Cuts four frames out of each clip: a random frame, after its three conditioning frames.

    Returns:
      As `FirstFrames.condition`: the conditioning frames, the batch that the network sees and the batch that
      the loss is computed on, all with four frames per clip.
    """
    size, length = next(iter(batch.clip.values())).shape[:2]
    key_frame, key_time, key_drop = jax.random.split(key, 3)
    frame = jax.random.randint(key_frame, (size,), 0, length)
    order, exists = given_frames(frame)
    exists = exists.at[:, 0].set(exists[:, 0] & (jax.random.uniform(key_drop, (size,)) >= self.drop))
    order = jnp.concatenate([order, frame[:, None]], 1)
    exists = jnp.concatenate([exists, jnp.ones((size, 1), bool)], 1)

    def take_frames(x):
      return jnp.take_along_axis(x, jnp.reshape(order, (*order.shape, *(1,) * (x.ndim - 2))), 1)

    context = batch.context
    valid = {
      name: take_frames(context.valid[name]) & exists if name in context.valid else exists
      for name in batch.clip
    }
    is_new = jnp.broadcast_to(jnp.arange(GIVEN + 1) == GIVEN, exists.shape)
    clip = {name: take_frames(x) for name, x in batch.clip.items()}
    network_batch, loss_batch = (
      batch.replace(clip=clip, context=context.replace(valid=v))
      for v in (valid, {name: x & is_new for name, x in valid.items()})
    )
    k = self.noise * jax.random.uniform(key_time, (size, 1))
    conditioning = ConditioningFrames(mask=~is_new, times=k * np.append(IS_REFERENCE, False))
    return conditioning, network_batch, loss_batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy(Objective):
  """A penalty on the mean of the mask, so that the network copies wherever a copy is good enough.

  Attributes:
    weight: weight of the penalty relative to the other objectives.
  """

  weight: float

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the weighted `loss` to minimise, and the mean mask of each sense as `mask/<sense>`."""
    means = {f"mask/{name}": share.mean() for name, share in prediction.mask.items()}
    return {"loss": self.weight * sum(means.values()), **means}


def masked(
  model, params, clip: Clip, t: Float[Array, "batch frames"], context: Context, given: Clip, rngs=None
) -> tuple[Clip, Clip]:
  """Applies a network with a mask, and mixes the last frame of its output with a copy of the previous frame.

  Args:
    model: a `Transformer` with `mask`.
    params: its parameters.
    clip: the noised frames, sense -> [batch, frames, *shape].
    t: the time of each frame.
    context: captions and other conditions.
    given: the conditioning frames without the noise of time k, sense -> [batch, frames, *shape]; the last one
      is copied. If the batch of `clip` is a multiple of this batch, they are repeated.
    rngs: PRNG keys of the network.

  Returns:
    The outputs, and the mask of the last frame, sense -> [batch, 1, *shape]: the share that comes from the
    network; 1 if there is no previous frame.
  """
  output, sown = model.apply(params, clip, t, context, rngs=rngs, mutable=["mask"])
  mask, mixed = {}, {}
  for name, x in output.items():
    share, valid = sown["mask"][name][0][:, -1:], context.valid.get(name)
    if valid is not None:
      share = jnp.where(per_frame(valid[:, -2:-1], share), share, 1.0)
    mask[name] = share
    previous = jnp.resize(given[name][:, -1:], share.shape)
    mixed[name] = jnp.concatenate([x[:, :-1], anchored(x[:, -1:], previous, share)], 1)
  return mixed, mask


def copying(model, params, given: Clip) -> Callable[..., Clip]:
  """Returns the denoiser (clip, t, context) -> outputs of a `Transformer` conditioned on the frames `given`.

  The denoiser applies `masked` if the network has a mask, and the plain network otherwise.
  """

  def denoiser(clip: Clip, t, context: Context) -> Clip:
    if model.mask:
      return masked(model, params, clip, t, context, given)[0]
    return model.apply(params, clip, t, context)

  return denoiser
