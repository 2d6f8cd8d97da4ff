"""Which form each block takes at each sampling step, for each prompt (see `models.forms`)."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.models import Transformer


def plots(
  model: Transformer, params, context: Context, times: Float[Array, "grid"], frames: int
) -> Float[np.ndarray, "prompts steps blocks"]:
  """The weight of the vehicular form in each block at each step; above .5 the hard mode takes this form.

  No clip is needed, because the gate does not depend on one. Blocks are listed in the order in which they
  run; those of a cycle occur once per turn.

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
    raise UserError("this model has no forms to plot: train one with model.forms=dense.")
  model = model.clone(forms="dense")
  gates = _gates(model, params, context, jnp.asarray(times)[:-1], frames)
  return np.asarray(jax.device_get(gates))


@functools.partial(jax.jit, static_argnums=(0, 4))
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
