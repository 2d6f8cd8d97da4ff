"""Which form each block takes over the sampling trajectory, for which prompt (see `models.forms`)."""

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
  """The weight of the vehicular form in each block at each step; above .5 the hard mode takes it.

  No clip is needed, for the gate sees none. Blocks are told in the order in which they run, those of
  a cycle once a turn.

  Args:
    model: with two forms.
    params: of its network.
    context: of the prompts.
    times: the solver's, all frames together; at the last nothing is asked.
    frames: of a clip.

  Raises:
    UserError: the model has no forms.
  """
  if model.forms == "none":
    raise UserError("this model has no plot to tell of: train one with model.forms=dense.")
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
    # [batch], or of a cycle [turns, batch].
    gates = jnp.stack([jnp.atleast_2d(gate) for gate in gates], 1)
    return jnp.reshape(gates, (-1, count)).T

  return jax.lax.map(at, times).swapaxes(0, 1)


def table(prompts: Sequence[str], plots: Float[np.ndarray, "prompts steps blocks"]) -> str:
  """`plots` as Markdown: a row a prompt and block, a letter a step from noise to clip, V or A."""
  form = "the form that weighs more, a step: V along time, A over space"
  lines = [f"| prompt | block | {form} | vehicular |", "|---|---|---|---|"]
  for prompt, plot in zip(prompts, plots, strict=True):
    for block, gates in enumerate(plot.T):
      letters = " ".join("V" if gate > 0.5 else "A" for gate in gates)
      lines.append(f"| {prompt.replace('|', '/')} | {block} | {letters} | {np.mean(gates > 0.5):.2f} |")
  return "\n".join(lines) + "\n"
