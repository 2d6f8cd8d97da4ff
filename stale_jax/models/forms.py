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

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.models.attention import project, together, turn
from stale_jax.models.context_parallel import dense
from stale_jax.models.layers import Dense
from stale_jax.models.perturbation import Concrete
from stale_jax.models.visibility import Rule, Tokens

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


class Form(nn.Module):
  """One form of attention.

  Attributes:
    axis: see FORMS.
    having: streams whose tokens have that coordinate.
    heads, head_width: of attention.
  """

  axis: int
  having: tuple[str, ...]
  heads: int
  head_width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, streams, angles, who: Tokens):
    """As `TwoForms`, without the plot."""
    q, k, v = project(streams, self.heads, self.head_width, self.dtype)
    q, k, v = map(together, (turn(q, angles), turn(k, angles), v))
    shapes = {name: x.shape[1:3] for name, x in streams.items()}
    return restricted_attention(q, k, v, who, shapes, self.having, self.axis)


class TwoForms(nn.Module):
  """Both forms, weighted by the plot gate; in the hard mode each example's likelier one alone.

  Concrete gates are drawn where there is an rng "perturb", as in training; else they are dense ones.

  A batch whose examples take the same form runs as one, and so does each half of another, for guidance puts
  the captioned and the uncaptioned clips in one batch; what is left goes example by example, so that nobody's
  clip depends on its company and no form is computed in vain.

  Attributes:
    senses: of the clip.
    mode: one of MODES.
    heads, head_width: of attention.
  """

  senses: tuple[Sense, ...]
  mode: str
  heads: int
  head_width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, streams, condition, angles, who: Tokens
  ) -> Float[Array, "batch tokens heads head_width"]:
    """Args:

      streams: name -> [batch, time, place, width].
      condition: [batch, 1, condition_width], of the caption and of the frames' times on average.
      angles: name -> [tokens, head_width/2].
      who: the tokens of all streams in turn.

    Sows the gate, the weight of the vehicular form, [batch], as "plot" into "intermediates".

    Raises:
      UserError: senses differ in their tokens along time, or along place if they have any.
    """
    timed = tuple(sense.name for sense in self.senses)
    placed = tuple(sense.name for sense in self.senses if len(sense.shape) > 1)
    for axis, names in ((1, timed), (2, placed)):
      if len({streams[name].shape[axis] for name in names}) > 1:
        raise UserError(f"model.forms needs senses of one patch along {'time' if axis == 1 else 'space'}.")
    options = {"heads": self.heads, "head_width": self.head_width, "dtype": self.dtype}
    options = {
      name: {"axis": axis, "having": timed if axis == 1 else placed, **options}
      for name, axis in FORMS.items()
    }
    # "modulation" keeps it out of the orthogonalised matrices: it is a vector.
    logit = Dense(1, kernel_init=nn.initializers.zeros, name="plot_modulation")(nn.silu(condition))
    logit = logit.astype(jnp.float32)[:, 0, 0]
    if self.mode == "concrete":
      logit = Concrete(name="throw")(logit)
    gate = jax.nn.sigmoid(logit)
    self.sow("intermediates", "plot", gate, init_fn=lambda: None, reduce_fn=lambda _, new: new)
    if self.mode != "hard" or self.is_initializing():
      one, other = (Form(name=name, **options[name])(streams, angles, who) for name in FORMS)
      weight = gate[:, None, None, None].astype(one.dtype)
      return weight * one + (1 - weight) * other

    params = self.variables["params"]  # Plain functions of them can stand inside JAX's control flow.

    def run(name, values, who):
      form = Form(**options[name], parent=None)
      # Control flow returns a dictionary in another order, and the order is that of the tokens.
      return form.apply({"params": params[name]}, dict(zip(streams, values, strict=True)), angles, who)

    def choose(vehicular, values, who):
      return jax.lax.cond(vehicular, *(functools.partial(run, name) for name in FORMS), values, who)

    def alone(example):
      return choose(example[0], *jax.tree.map(lambda x: x[None], example[1:]))[0]

    def together(otherwise, given):
      chosen, values, who = given
      alike = jnp.all(chosen == chosen[0])
      return jax.lax.cond(alike, lambda: choose(chosen[0], values, who), lambda: otherwise(given))

    def halves(given):
      middle, one_by_one = len(gate) // 2, functools.partial(jax.lax.map, alone)
      first, second = (jax.tree.map(op, given) for op in (lambda x: x[:middle], lambda x: x[middle:]))
      return jnp.concatenate([together(one_by_one, first), together(one_by_one, second)])

    given = gate > 0.5, tuple(streams.values()), who
    return choose(given[0][0], *given[1:]) if len(gate) == 1 else together(halves, given)
