"""Which form of attention each block uses at each sampling step, for each prompt (see `models.forms`)."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Context
from stale_jax.compilation import OnMesh
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.models import Transformer


def plots(
  model: Transformer, params, context: Context, times: Float[Array, "grid"], frames: int
) -> Float[np.ndarray, "prompts steps blocks"]:
  """Evaluates the gate of each block at each solver step: the weight of its vehicular form, in [0, 1].

  The vehicular form attends along time, the anthropomorphic form over space (see `models.forms`). With
  forms="hard", a block computes only the vehicular form where its weight is above .5, else only the other.
  No clip is needed, because the gate depends only on caption and time. Blocks are listed in the order of
  evaluation; in a looped trunk (`models.cycle`) each block occurs once per turn.

  Args:
    model: network with two forms.
    params: its parameters.
    context: conditioning of the prompts.
    times: time grid of the solver, shared by all frames; the last time is not evaluated.
    frames: frames of a clip.

  Raises:
    UserError: the model has no forms.
  """
  if model.forms == "none":
    raise UserError(
      "this model has one form of attention, and no gates to plot: train one with model.forms=dense."
    )
  model = model.clone(forms="dense")
  gates = _gates(model, params, context, jnp.asarray(times)[:-1], frames)
  return on_host(gates)


@functools.partial(OnMesh, static_argnums=(0, 4))
def _gates(model, params, context, times, frames):
  count = len(context.text)
  clip = {s.name: jnp.zeros((count, frames, *s.shape)) for s in model.senses}

  def at(time):
    t = jnp.full((count, frames), time)
    _, sown = model.apply(params, clip, t, context, mutable="intermediates")
    gates = [sown["intermediates"][f"block_{layer}"]["forms"]["plot"] for layer in range(model.depth)]
    # Each gate is [batch], or [turns, batch] in a cycle.
    gates = jnp.stack([jnp.atleast_2d(gate) for gate in gates], 1)
    return jnp.reshape(gates, (-1, count)).T

  return jax.lax.map(at, times).swapaxes(0, 1)


def table(prompts: Sequence[str], plots: Float[np.ndarray, "prompts steps blocks"]) -> str:
  """`plots` as Markdown: a row per prompt and block, with a letter (V or A) per step from noise to clip."""
  form = "form with the larger weight, by step: V along time, A over space"
  lines = [f"| prompt | block | {form} | vehicular |", "|---|---|---|---|"]
  for prompt, plot in zip(prompts, plots, strict=True):
    for block, gates in enumerate(plot.T):
      letters = " ".join("V" if gate > 0.5 else "A" for gate in gates)
      lines.append(f"| {prompt.replace('|', '/')} | {block} | {letters} | {np.mean(gates > 0.5):.2f} |")
  return "\n".join(lines) + "\n"
