"""Two forms of attention, mixed by a gate (Stale Diffusion, arXiv 2404.01079).

The *vehicular* form attends along time at each place (motion); the *anthropomorphic* form attends over space
within each frame (appearance). Latte (arXiv 2401.03048) alternates such factorised space-time attention
between layers. Here every block has both forms and a *plot gate* mixes them. The gate is computed from the
caption and the time only, so it is known before the block runs. In the hard mode, for inference, a block
computes only the form with the larger weight.

In each form a token sees the tokens with the same coordinate: the place in the vehicular form, the frame in
the anthropomorphic form. Tokens without that coordinate see, and are seen by, all tokens. Text has neither
coordinate; senses such as touch and sound have a time but no place.

Each form has its own queries, keys and values, so that the hard mode also saves the projections of the other
form (most of the cost at small sizes) and the forms need not share features. The mixed result goes through
one shared output layer.

If the forms are always mixed in training, neither works well alone. A model for the hard mode is trained with
*concrete* gates instead: noise on the logits, drawn for each example and block, pushes each gate toward 0 or
1 until the logits are decisive by themselves (`models.perturbation.concrete`).
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from stale_jax.errors import UserError
from stale_jax.models.attention import (
  apply_rotary,
  concat_streams,
  project,
  projection_parameters,
  split_streams,
)
from stale_jax.models.entropy import scaled_along
from stale_jax.models.exact_attention import exact
from stale_jax.models.lanes import Lane
from stale_jax.models.layers import linear, linear_parameters
from stale_jax.models.mixers import Stack, TokenLayout
from stale_jax.models.parameters import ZEROS
from stale_jax.models.perturbation import concrete
from stale_jax.models.visibility import Rule, Tokens, join

# How the forms are mixed: weighted by the gate; by a gate with noise in training; or only the form with the
# larger weight.
MODES = ("dense", "concrete", "hard")

# Form -> the axis of a stream [batch, time, place, width] whose coordinate tokens must share.
FORMS = {"vehicular": 2, "anthropomorphic": 1}


def restricted_attention(
  q: Float[Array, "batch tokens heads width"],
  k: Float[Array, "batch tokens heads width"],
  v: Float[Array, "batch tokens heads width"],
  tokens: Tokens,
  shapes: dict[str, tuple[int, int]],
  having: tuple[str, ...],
  axis: int,
) -> Float[Array, "batch tokens heads width"]:
  """Attention among tokens that share a coordinate, computed within these groups instead of for all pairs.

  Tokens of streams without the coordinate see, and are seen by, all tokens.

  Args:
    q, k, v: queries, keys and values of the concatenated streams.
    tokens: the same tokens, for the default mask (`visibility.Rule`), which also applies.
    shapes: stream -> (time steps, places per time step).
    having: names of the streams whose tokens have this coordinate.
    axis: axis of the coordinate in a stream: 1 for time, 2 for place.
  """
  ends = np.cumsum([time * place for time, place in shapes.values()])[:-1]
  others = [name for name in shapes if name not in having]
  attention = exact(Rule())

  def parts(x):
    return dict(zip(shapes, jnp.split(x, ends, 1), strict=True))

  def grouped(x):
    """Groups the tokens that have the coordinate: [batch, groups, tokens per group, ...]."""
    x = {name: jnp.reshape(part, (len(x), *shapes[name], *x.shape[2:])) for name, part in parts(x).items()}
    return jnp.concatenate([x[name] if axis == 1 else x[name].swapaxes(1, 2) for name in having], 2)

  def rest(x):
    return jnp.concatenate([parts(x)[name] for name in others], 1)

  def seen(x):
    """The keys of each group: its own tokens, then all tokens without the coordinate."""
    group, rest_ = grouped(x), rest(x)
    return jnp.concatenate([group, jnp.broadcast_to(rest_[:, None], (*group.shape[:2], *rest_.shape[1:]))], 2)

  out = {}
  if having:

    def one_batch(x):
      return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), x)

    queries = grouped(q)
    of_q, of_k = jax.tree.map(grouped, tokens), jax.tree.map(seen, tokens)
    attended, _ = attention(*one_batch((queries, seen(k), seen(v), of_q, of_k)))
    attended = jnp.reshape(attended, queries.shape)
    widths = [shapes[name][3 - axis - 1] for name in having]
    for name, part in zip(having, jnp.split(attended, np.cumsum(widths)[:-1], 2), strict=True):
      part = part if axis == 1 else part.swapaxes(1, 2)
      out[name] = jnp.reshape(part, (len(q), -1, *q.shape[2:]))
  if others:
    attended, _ = attention(rest(q), k, v, jax.tree.map(rest, tokens), tokens)
    widths = [shapes[name][0] * shapes[name][1] for name in others]
    out |= dict(zip(others, jnp.split(attended, np.cumsum(widths)[:-1], 1), strict=True))
  return jnp.concatenate([out[name] for name in shapes], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoForms:
  """Mixer with two forms of attention, weighted by the plot gate.

  In the mode "hard" only the form with the larger weight is computed for each example. If all examples of the
  batch choose the same form, the batch is computed as a whole. Otherwise each half of the batch is computed
  as a whole if its examples agree (classifier-free guidance puts the conditional clips in one half and the
  unconditional clips in the other), or else example by example. So no result depends on the rest of the batch
  and no unused form is computed.

  In the mode "concrete" the gate is drawn if there are PRNG keys, as in training; otherwise the gate is that
  of "dense".

  Attributes:
    mode: one of MODES.
    heads, head_width: number and width of the attention heads.
    dtype: dtype of the computation.
  """

  mode: str
  heads: int
  head_width: int
  dtype: DTypeLike = jnp.float32

  def parameters(self, widths: dict[str, int], condition_width: int, stack: Stack):
    """See `mixers.Mixer`."""
    forms = {}
    for form in FORMS:
      projections = {
        name: projection_parameters(width, self.heads, self.head_width) for name, width in widths.items()
      }
      forms[form] = stack(projections, f"forms/{form}/")
    plot = {"plot_modulation": linear_parameters(condition_width, 1, ZEROS)}
    return {"forms": {**forms, **stack.alone(plot, "forms/")}}

  def __call__(
    self,
    params,
    lanes: tuple[Lane, ...],
    entered: dict[str, Array],
    condition,
    layout: TokenLayout,
    block,
    draws,
  ) -> tuple[dict[str, Float[Array, "batch _time _place heads head_width"]], dict[str, Array]]:
    """See `mixers.Mixer`. The auxiliary output "plot" is the weight of the vehicular form, [batch].

    Raises:
      UserError: the senses differ in their number of time steps, or those with places in their number of
        places.
    """
    having = {1: layout.timed, 2: layout.placed}
    for axis, names in having.items():
      sizes = {name: layout.shapes[name][axis - 1] for name in names}
      if len(set(sizes.values())) > 1:
        raise UserError(
          f"model.forms needs senses with equal numbers of tokens along {'time' if axis == 1 else 'space'}, "
          f"and these have {sizes}: change their patches, or set model.forms='none'."
        )
    params, batch = params["forms"], len(condition)
    logit = linear(params["plot_modulation"], jax.nn.silu(condition), self.dtype)
    logit = logit.astype(jnp.float32)[:, 0, 0]
    if self.mode == "concrete" and draws is not None:
      logit = concrete(draws("forms", "throw"), logit)
    gate = jax.nn.sigmoid(logit)
    tokens = join(layout.tokens, batch)

    def run(form, entered, tokens):
      sizes = self.heads, self.head_width, self.dtype, layout.shapes
      q, k, v = project(params[form], lanes, entered, *sizes)
      if layout.trained is not None:
        k = scaled_along(k, layout.trained, having[FORMS[form]], FORMS[form])
      q, k, v = map(concat_streams, (apply_rotary(q, layout.angles), apply_rotary(k, layout.angles), v))
      return restricted_attention(q, k, v, tokens, layout.shapes, having[FORMS[form]], FORMS[form])

    if self.mode != "hard":
      one, other = (run(form, entered, tokens) for form in FORMS)
      weight = gate[:, None, None, None].astype(one.dtype)
      mixed = weight * one + (1 - weight) * other
    else:
      mixed = _likelier_form(run, gate > 0.5, lanes, entered, tokens)
    return split_streams(mixed, layout.shapes), {"plot": gate}


def _likelier_form(run: Callable, vehicular: Bool[Array, "batch"], lanes, entered, tokens: Tokens) -> Array:
  """Computes for each example only the form with the larger weight; see `TwoForms`."""

  def choose(vehicular, entered, tokens):
    return jax.lax.cond(vehicular, *(functools.partial(run, form) for form in FORMS), entered, tokens)

  # Moves the batch axis, which is the second in a lane of several streams, to the front. It is its own
  # inverse.
  def batch_first(args):
    chosen, entered, tokens = args
    return chosen, {lane.key: _swapped(lane, entered[lane.key]) for lane in lanes}, tokens

  def run_example(example):
    _, entered, tokens = batch_first(jax.tree.map(lambda x: x[None], example))
    return choose(example[0], entered, tokens)[0]

  def run_if_equal(otherwise, args):
    chosen, entered, tokens = batch_first(args)
    equal = jnp.all(chosen == chosen[0])
    return jax.lax.cond(equal, lambda: choose(chosen[0], entered, tokens), lambda: otherwise(args))

  def run_halves(args):
    middle, one_by_one = len(vehicular) // 2, functools.partial(jax.lax.map, run_example)
    first, second = (jax.tree.map(op, args) for op in (lambda x: x[:middle], lambda x: x[middle:]))
    return jnp.concatenate([run_if_equal(one_by_one, first), run_if_equal(one_by_one, second)])

  args = batch_first((vehicular, entered, tokens))
  return choose(vehicular[0], entered, tokens) if len(vehicular) == 1 else run_if_equal(run_halves, args)


def _swapped(lane: Lane, x: Array) -> Array:
  return x.swapaxes(0, 1) if lane.is_stacked else x
