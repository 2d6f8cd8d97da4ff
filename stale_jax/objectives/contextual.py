"""Joint training of a denoiser and the relation that shifts its inputs (ContextDiff)."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch, Clip, Context
from stale_jax.objectives.prediction import Prediction
from stale_jax.processes import Process, TimeSampler, clip_times, named_keys
from stale_jax.processes.contextual import Biased, into_the_box


def contextual_prediction(
  denoiser: Callable,
  relate: Callable[[Clip, Context], Clip],
  process: Process,
  time_sampler: TimeSampler,
  batch: Batch,
  key: PRNGKeyArray,
) -> tuple[Prediction, Float[Array, ""]]:
  """Corrupts each clip with the bias of its own relation, and applies the denoiser.

  The gradient of the loss reaches the relation through the noised clip. Without a penalty, the relation would
  write the clip into the bias, where no noise hides it: add the second result to the loss, times a weight.

  Returns:
    (the prediction, the mean square of h over all values).
  """
  size, frames = next(iter(batch.clip.values())).shape[:2]
  t = clip_times(named_keys(key, "times"), time_sampler, size, frames)
  related = relate(batch.clip, batch.context)
  corruption = {
    name: Biased(process=process, relation=into_the_box(related[name], x)).corrupt(
      named_keys(key, name), x, t
    )
    for name, x in batch.clip.items()
  }
  output = denoiser({name: c.x_t for name, c in corruption.items()}, t, batch.context)
  square = jnp.stack([jnp.mean(jnp.square(h)) for h in related.values()]).mean()
  return Prediction(output=output, corruption=corruption, t=t), square
