"""Two forms of attention and the plot that chooses between them (Stale Diffusion, arXiv 2404.01079).

A block may look along time at each place, its *vehicular* form (motion), or over space in each
frame, its *anthropomorphic* form (appearance). Factorised space-time attention of this kind is
Latte's (arXiv 2401.03048), there in alternate layers; here a *plot gate* mixes the two, computed
from the caption and the time. In the hard mode, for inference, a block computes only the form to
which its gate leans: the gate is known before the block runs, for nothing of the clip enters it.

One rule says who sees whom: a token sees those that share its coordinate, place or time, and one
that has no such coordinate shares everyone's. Text has neither, and is seen by all and sees all in
both forms; touch, sound and the like have a time but no place.

Each form has its own queries, keys and values, so that the hard mode also saves the projections
of the form that is not taken (at small sizes most of the cost) and neither form has to look with
the other's eyes. What is read out of them shares one layer, after they are mixed.

Forms that were always mixed lean on each other, and neither is worth much alone. For the hard mode a model
is trained with *concrete* gates: noise on their logits, drawn anew for each example and block, throws them
toward the one form or the other, until they decide by themselves (`models.perturbation`).
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from stale_jax.errors import UserError
from stale_jax.models.attention import (
  apply_rotary,
  concat_streams,
  project,
  projection_parameters,
  split_streams,
)
from stale_jax.models.context_parallel import dense
from stale_jax.models.lanes import Lane
from stale_jax.models.layers import linear, linear_parameters
from stale_jax.models.mixers import Stack, TokenLayout
from stale_jax.models.parameters import ZEROS
from stale_jax.models.perturbation import concrete
from stale_jax.models.visibility import Rule, Tokens, join

# How the two are mixed: weighted; weighted by gates that training draws; the likelier one alone.
MODES = ("dense", "concrete", "hard")

# Form -> the coordinate that tokens must share: an axis of a stream [batch, time, place, width].
FORMS = {"vehicular": 2, "anthropomorphic": 1}


def restricted_attention(
  q: Float[Array, "batch tokens heads width"],
  k: Float[Array, "batch tokens heads width"],
  v: Float[Array, "batch tokens heads width"],
  who: Tokens,
  shapes: dict[str, tuple[int, int]],
  having: tuple[str, ...],
  axis: int,
) -> Float[Array, "batch tokens heads width"]:
  """Attention among tokens that share a coordinate; its cost is that of the groups, not of all pairs.

  Args:
    q, k, v: of the streams' tokens in turn.
    who: the same tokens, of which a rule may let fewer see one another besides.
    shapes: stream -> (time, place).
    having: the streams whose tokens have the coordinate.
    axis: of the coordinate: 1 for time, 2 for place.
  """
  ends = np.cumsum([time * place for time, place in shapes.values()])[:-1]
  others = [name for name in shapes if name not in having]
  attention = dense(Rule())

  def parts(x):
    return dict(zip(shapes, jnp.split(x, ends, 1), strict=True))

  def grouped(x):
    """[batch, groups, tokens of it, ...]"""
    x = {name: jnp.reshape(part, (len(x), *shapes[name], *x.shape[2:])) for name, part in parts(x).items()}
    return jnp.concatenate([x[name] if axis == 1 else x[name].swapaxes(1, 2) for name in having], 2)

  def rest(x):
    return jnp.concatenate([parts(x)[name] for name in others], 1)

  def seen(x):
    """What a group sees: itself and the rest."""
    own, rest_ = grouped(x), rest(x)
    return jnp.concatenate([own, jnp.broadcast_to(rest_[:, None], (*own.shape[:2], *rest_.shape[1:]))], 2)

  out = {}
  if having:

    def one_batch(x):
      return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), x)

    queries = grouped(q)
    of = (jax.tree.map(grouped, who), jax.tree.map(seen, who))
    attended, _ = attention(*one_batch((queries, seen(k), seen(v), *of)))
    attended = jnp.reshape(attended, queries.shape)
    widths = [shapes[name][3 - axis - 1] for name in having]
    for name, part in zip(having, jnp.split(attended, np.cumsum(widths)[:-1], 2), strict=True):
      part = part if axis == 1 else part.swapaxes(1, 2)
      out[name] = jnp.reshape(part, (len(q), -1, *q.shape[2:]))
  if others:
    attended, _ = attention(rest(q), k, v, jax.tree.map(rest, who), who)
    widths = [shapes[name][0] * shapes[name][1] for name in others]
    out |= dict(zip(others, jnp.split(attended, np.cumsum(widths)[:-1], 1), strict=True))
  return jnp.concatenate([out[name] for name in shapes], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoForms:
  """Both forms, weighted by the plot gate; in the hard mode each example's likelier one alone.

  Concrete gates are drawn where there is a key, as in training; else they are dense ones.

  A batch whose examples take the same form runs as one, and so does each half of another, for guidance puts
  the captioned and the uncaptioned clips in one batch; what is left goes example by example, so that no
  clip depends on its company and no form is computed in vain.

  Attributes:
    mode: one of MODES.
    heads, head_width: of attention.
    dtype: of the computation.
  """

  mode: str
  heads: int
  head_width: int
  dtype: jnp.dtype = jnp.float32

  def parameters(self, widths: dict[str, int], condition_width: int, stack: Stack):
    """See `mixers.Mixer`."""
    forms = {}
    for form in FORMS:
      own = {
        name: projection_parameters(width, self.heads, self.head_width) for name, width in widths.items()
      }
      forms[form] = stack(own, f"forms/{form}/")
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
  ) -> tuple[dict[str, Float[Array, "batch time place heads head_width"]], dict[str, Array]]:
    """See `mixers.Mixer`; also tells the gate, the weight of the vehicular form, [batch], as "plot".

    Raises:
      UserError: senses differ in their tokens along time, or along place if they have any.
    """
    having = {1: layout.timed, 2: layout.placed}
    for axis, names in having.items():
      if len({layout.shapes[name][axis - 1] for name in names}) > 1:
        raise UserError(f"model.forms needs senses of one patch along {'time' if axis == 1 else 'space'}.")
    params, batch = params["forms"], len(condition)
    logit = linear(params["plot_modulation"], jax.nn.silu(condition), self.dtype)
    logit = logit.astype(jnp.float32)[:, 0, 0]
    if self.mode == "concrete" and draws is not None:
      logit = concrete(draws("forms", "throw"), logit)
    gate = jax.nn.sigmoid(logit)
    who = join(layout.tokens, batch)

    def run(form, entered, who):
      sizes = self.heads, self.head_width, self.dtype, layout.shapes
      q, k, v = project(params[form], lanes, entered, *sizes)
      q, k, v = map(concat_streams, (apply_rotary(q, layout.angles), apply_rotary(k, layout.angles), v))
      return restricted_attention(q, k, v, who, layout.shapes, having[FORMS[form]], FORMS[form])

    if self.mode != "hard":
      one, other = (run(form, entered, who) for form in FORMS)
      weight = gate[:, None, None, None].astype(one.dtype)
      mixed = weight * one + (1 - weight) * other
    else:
      mixed = _likelier(run, gate > 0.5, lanes, entered, who)
    return split_streams(mixed, layout.shapes), {"plot": gate}


def _likelier(run: Callable, vehicular: Bool[Array, "batch"], lanes, entered, who: Tokens) -> Array:
  """Of each example the form that is chosen, and no other is computed."""

  def choose(vehicular, entered, who):
    return jax.lax.cond(vehicular, *(functools.partial(run, form) for form in FORMS), entered, who)

  # Examples first: of a lane of several streams they are the second axis.
  def examples(given):
    chosen, entered, who = given
    return chosen, {lane.key: _swapped(lane, entered[lane.key]) for lane in lanes}, who

  def alone(example):
    _, entered, who = examples(jax.tree.map(lambda x: x[None], example))
    return choose(example[0], entered, who)[0]

  def same(otherwise, given):
    chosen, entered, who = examples(given)
    alike = jnp.all(chosen == chosen[0])
    return jax.lax.cond(alike, lambda: choose(chosen[0], entered, who), lambda: otherwise(given))

  def halves(given):
    middle, one_by_one = len(vehicular) // 2, functools.partial(jax.lax.map, alone)
    first, second = (jax.tree.map(op, given) for op in (lambda x: x[:middle], lambda x: x[middle:]))
    return jnp.concatenate([same(one_by_one, first), same(one_by_one, second)])

  given = examples((vehicular, entered, who))
  return choose(vehicular[0], entered, who) if len(vehicular) == 1 else same(halves, given)


def _swapped(lane: Lane, x: Array) -> Array:
  return x.swapaxes(0, 1) if lane.is_stacked else x
