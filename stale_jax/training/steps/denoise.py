"""One training step: corrupt, predict, compare, update."""

import zlib

import jax
import jax.numpy as jnp
import optax

from stale_jax.clip import Batch
from stale_jax.models import scored
from stale_jax.objectives import (
  Artv,
  ConditionCorruption,
  FirstFrames,
  MessUp,
  forget,
  masked,
  predict,
)
from stale_jax.processes import Process, TimeDensity
from stale_jax.training.ema import Ema
from stale_jax.training.state import State, update

# Nothing messed up, every caption right, nothing given.
_TIDY, _TRUE, _NOTHING = MessUp(), ConditionCorruption(), FirstFrames()


def make_loss(
  model,
  process: Process,
  density: TimeDensity,
  objective,
  caption_dropout: float,
  messup: MessUp = _TIDY,
  corruption: ConditionCorruption = _TRUE,
  first: FirstFrames | Artv = _NOTHING,
):
  """(params, batch, key) -> (loss, metrics), that share of examples unconditional.

  Of as many each micro-condition is not known.
  """

  def loss(params, batch: Batch, key):
    key_drop, key_predict = jax.random.split(key)
    # By name, so that what is not used changes no other draw.
    key_swap, key_noise, key_inside, key_first = (
      jax.random.fold_in(key, zlib.crc32(name)) for name in (b"swap", b"noise", b"perturb", b"first")
    )
    batch = batch.replace(context=corruption.swap(batch.context, key_swap))
    dropped = jax.random.uniform(key_drop, batch.index.shape) < caption_dropout
    context = forget(batch.context.withhold(dropped), model.micro, caption_dropout, key)
    batch = batch.replace(context=context)
    held, batch, judged = first.give(batch, key_first)

    def denoiser(clip, t, context):
      rngs = {"perturb": key_inside}
      if model.mask:
        given = {name: x[:, :-1] for name, x in batch.clip.items()}
        output, mask = masked(model, params, clip, t, context, given, rngs)
        return output, {"mask": mask}
      if model.labels:
        output, scores = scored(model, params, clip, t, context, rngs)
        return output, {"scores": scores}
      return model.apply(params, clip, t, context, rngs=rngs), {}

    shown = messup.perturb(denoiser, process, key_noise)
    prediction = predict(shown, process, density, batch, key_predict, says_more=True, held=held)
    metrics = objective(prediction, judged)
    return metrics["loss"], metrics

  return loss


def make_step(loss, optimizer: optax.GradientTransformation, ema: Ema, accumulate: int = 1):
  """(state, batch) -> (state, metrics); the gradient is the mean over `accumulate` parts of the batch."""
  gradient = jax.grad(loss, has_aux=True)

  def step(state: State, batch: Batch):
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    if accumulate == 1:
      grads, metrics = gradient(state.params, batch, key)
    else:
      # Every n-th example, so that each part lies on all the devices that the batch lies on.
      parts = jax.tree.map(lambda x: jnp.reshape(x, (-1, accumulate, *x.shape[1:])).swapaxes(0, 1), batch)

      def body(total, part):
        index, batch = part
        new = gradient(state.params, batch, jax.random.fold_in(key, index))
        return jax.tree.map(lambda a, b: a + b / accumulate, total, new), None

      shapes = jax.eval_shape(gradient, state.params, jax.tree.map(lambda x: x[0], parts), key)
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
      (grads, metrics), _ = jax.lax.scan(body, zeros, (jnp.arange(accumulate), parts))
    metrics = {**metrics, "gradient_norm": optax.tree.norm(grads)}
    return update(state, grads, metrics["loss"], optimizer, ema), metrics

  return step
