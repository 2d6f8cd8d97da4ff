"""A video transformer over all senses and text at once.

Every sense, and the caption, is a stream with its own weights and width; one joint
attention lets all of them see one another (MMDiT: Stable Diffusion 3, arXiv 2403.03206).
Modulation is adaLN-zero (DiT, arXiv 2212.09748) from the caption and from the times of
the frames a token covers, so that frames may be at different times.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context, Sense
from stale_jax.errors import UserError
from stale_jax.mesh import constrain
from stale_jax.models.attention import asunder, attend, project, proportional_attention, together, turn
from stale_jax.models.cycle import trunk
from stale_jax.models.emoji import emoji_vector
from stale_jax.models.forms import TwoForms
from stale_jax.models.kv_cache import KVCache
from stale_jax.models.layers import Dense, rotary_angles, rotary_jitter, time_features
from stale_jax.models.micro import MicroCondition
from stale_jax.models.past import Past, with_more
from stale_jax.models.perturbation import Concrete, EmbeddingNoise, TokenDrop
from stale_jax.models.text import TextEncoder
from stale_jax.models.visibility import EMOJI, TEXT, Rule, Tokens, join, stream_tokens

# A stream's tokens: x [batch, time, place, width]; condition [batch, time, condition_width].
_zeros = nn.initializers.zeros
_LAID = ("batch", None, "tokens", None)

# Name -> which values of a block are kept for its gradient.
REMAT = {
  "none": jax.checkpoint_policies.everything_saveable,
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  "full": jax.checkpoint_policies.nothing_saveable,
}


def patchify(x: Float[Array, "batch frames *shape"], sense: Sense) -> Float[Array, "batch time place values"]:
  """Cuts a sense into tokens: time-major, each the values of one patch."""
  batch, frames, *shape = x.shape
  sizes = (frames, *shape)
  split = [n for size, p in zip(sizes[:-1], sense.patch, strict=True) for n in (size // p, p)]
  x = jnp.reshape(x, (batch, *split, sizes[-1]))
  axes = len(sense.patch)
  x = jnp.transpose(x, (0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1))
  grid = sense.grid(frames)
  return jnp.reshape(x, (batch, grid[0], math.prod(grid[1:]), -1))


def unpatchify(
  tokens: Float[Array, "batch time place values"], sense: Sense
) -> Float[Array, "batch frames *shape"]:
  """Undoes `patchify`."""
  batch, time = tokens.shape[:2]
  grid = sense.grid(time * sense.patch[0])
  axes = len(sense.patch)
  x = jnp.reshape(tokens, (batch, *grid, *sense.patch, sense.shape[-1]))
  order = [axis for i in range(axes) for axis in (1 + i, 1 + axes + i)]
  x = jnp.transpose(x, (0, *order, 2 * axes + 1))
  return jnp.reshape(x, (batch, time * sense.patch[0], *sense.shape))


def positions(sense: Sense, frames: int) -> Float[np.ndarray, "tokens 3"]:
  """(time of the patch's middle in frames, y, x in patches) of each token; absent axes are 0."""
  grid = sense.grid(frames)
  coordinates = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, len(grid))
  out = np.zeros((len(coordinates), 3), np.float32)
  out[:, 0] = coordinates[:, 0] * sense.patch[0] + (sense.patch[0] - 1) / 2
  for axis in range(1, min(len(grid), 3)):
    out[:, axis] = coordinates[:, axis]
  return out


def _norm(x):
  """LayerNorm without parameters, in float32."""
  y = x.astype(jnp.float32)
  y = y - y.mean(-1, keepdims=True)
  return (y * jax.lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + 1e-6)).astype(x.dtype)


def _modulate(x, shift, scale):
  return _norm(x) * (1 + scale[:, :, None]) + shift[:, :, None]


def _mean(x: Float[Array, "batch time place width"], real) -> Float[Array, "batch 1 1 width"]:
  """Over the real tokens, of which `real` [batch, time, place] tells."""
  weight = real[..., None].astype(x.dtype)
  return jnp.sum(x * weight, (1, 2), keepdims=True) / jnp.maximum(jnp.sum(weight, (1, 2), keepdims=True), 1)


class Block(nn.Module):
  """Joint attention over all streams, or a form of it, then a perceptron a stream.

  Attributes:
    heads, head_width: of attention.
    forms, senses, attention, causal, rope_jitter, remat: see `Transformer`; `senses` are those of the clip.
  """

  heads: int
  head_width: int
  dtype: jnp.dtype = jnp.float32
  forms: str = "none"
  senses: tuple[Sense, ...] = ()
  attention: str = "xla"
  causal: bool = False
  rope_jitter: float = 0.0
  remat: str = "none"

  def __call__(self, streams, conditions, angles, tokens: dict[str, Tokens], size=None, past=None):
    """The streams, and where `size` is given the attention's probabilities [batch, heads, to, from].

    streams, conditions, angles, tokens: of each stream; size [batch, from]: how many tokens each of
    all streams in turn stands for; past: see `Past`.
    """

    def run(block, streams, conditions):
      return block._run(streams, conditions, angles, tokens, size, past)

    # What is NumPy's of tokens is closed over: as an argument it would no longer be known while tracing.
    run = nn.remat(run, policy=REMAT[self.remat]) if self.remat != "none" else run
    return run(self, streams, conditions)

  @nn.compact
  def _run(self, streams, conditions, angles, tokens, size, past):
    def dense(features, name, **kw):
      return Dense(features, dtype=self.dtype, name=name, **kw)

    # What comes out of a transformation of JAX's is in another order; the order is that of the tokens.
    streams = {name: streams[name] for name in tokens}
    batch, modulations, seen = len(conditions["text"]), {}, {}
    for name, x in streams.items():
      m = dense(6 * x.shape[-1], f"{name}_modulation", kernel_init=_zeros)(nn.silu(conditions[name]))
      modulations[name] = jnp.split(m, 6, -1)
      shift, scale, *_ = modulations[name]
      seen[name] = _modulate(x, shift, scale)
    p, attention = None, (self.heads, self.head_width, self.dtype)
    if self.forms != "none":
      forms = TwoForms(self.senses, self.forms, *attention, name="forms")
      attended = asunder(forms(seen, conditions["text"], angles, join(tokens, batch)), streams)
    elif size is not None:
      q, k, v = project(seen, *attention)
      q, k, v = map(together, (turn(q, angles), turn(k, angles), v))
      everyone = join(tokens, batch)
      attended, p = proportional_attention(q, k, v, Rule()(everyone, everyone), size)
      attended = asunder(attended, streams)
    else:
      q, k, v = project(seen, *attention)
      if not self.is_initializing():  # Else they would be among the parameters.
        for kind, x in (("keys", k), ("values", v)):
          self.sow("kv", kind, {sense.name: x[sense.name] for sense in self.senses})
      turned, everyone = angles, None
      if past is not None:
        k, v = past.before(self.name, k, v)
        turned, everyone = past.angles, past.tokens
      jitter = rotary_jitter(self.heads, self.head_width, self.rope_jitter) if self.rope_jitter else None
      q, k, rule = turn(q, angles, jitter), turn(k, turned, jitter), Rule(causal=self.causal)
      attended = attend(q, k, v, tokens, self.attention, rule, everyone)

    out = {}
    for name, x in streams.items():
      _, _, gate, shift, scale, gate_mlp = modulations[name]
      y = dense(x.shape[-1], f"{name}_out")(jnp.reshape(attended[name], (*x.shape[:3], -1)))
      x = constrain(x + gate[:, :, None] * y, *_LAID)
      h = nn.gelu(dense(4 * x.shape[-1], f"{name}_up")(_modulate(x, shift, scale)))
      h = constrain(h, *_LAID[:3], "hidden")
      y = dense(x.shape[-1], f"{name}_down")(h)
      out[name] = constrain(x + gate_mlp[:, :, None] * y, *_LAID)
    return out, p


class Transformer(nn.Module):
  """The denoiser's network: x0-style outputs for every sense of the clip it is given.

  Attributes:
    senses: what it can see; a clip may lack some of them, and `Context.valid` masks frames.
    width: of the first sense's stream.
    side_width: of every other sense's.
    text_width: of the caption's stream.
    condition_width: of the vector of time and caption that modulates the blocks.
    depth: blocks.
    heads: of attention; each is width / heads wide in every stream.
    text_length: bytes of a caption that are read, a multiple of 4.
    dtype: of the computation; parameters are float32.
    labels: scores of the clip that are sown as "labels" into the collection "scores", if that is
      mutable; 0: none, and nothing of what they need is there.
    emoji: the character of the token that they are read off; "": off the mean of each sense's tokens.
      The token sees every sense, not the caption, and is seen by nobody: it changes no output.
    token_drop: share of sense tokens that training masks out of attention (config.messup.drop).
    text_noise: norm of what training adds to a text token (config.corruption.embedding).
    forms: "dense": every block has two forms of attention, mixed by a gate (see `models.forms`);
      "concrete": training draws the gates, so that each form can stand alone; "hard": the same weights,
      each block in one form only, for inference; "none": joint attention.
    turns: how often the blocks are run round, at the most in training (see `models.cycle`); 0: once,
      and without what it takes to be run again.
    merge: whether each turn merges a third of the tokens of sight.
    mask: whether a head tells, value by value, how much of an output is to be the network's own, from 0 to 1,
      sown into the collection "mask" if that is mutable (`objectives.artv`).
    attention: of `models.attention.BACKENDS`, what computes joint attention.
    causal: whether no frame sees a later one, nor the caption any, so that a movie can be made frame by
      frame with the keys and values of those before it (`models.kv_cache`).
    rope_jitter: spread of the heads' rotary bases over time; 0: all turn alike.
    micro: which of `clip.MICRO` it hears, if they are known.
    remat: what of a block's values its gradient computes again, to save memory: "none", of which all
      are kept; "dots", all but matrix products; "full", all.
    scan: whether one program of a block runs through them all, instead of one each: it compiles in the
      time of one. The parameters are the same.
  """

  senses: tuple[Sense, ...]
  width: int = 160
  side_width: int = 32
  text_width: int = 64
  condition_width: int = 96
  depth: int = 6
  heads: int = 4
  text_length: int = 48
  dtype: str = "float32"
  labels: int = 0
  emoji: str = ""
  token_drop: float = 0.0
  text_noise: float = 0.0
  forms: str = "none"
  turns: int = 0
  merge: bool = False
  mask: bool = False
  attention: str = "xla"
  causal: bool = False
  rope_jitter: float = 0.0
  micro: tuple[str, ...] = ()
  remat: str = "none"
  scan: bool = False

  @nn.compact
  def __call__(
    self,
    clip: Clip,
    t: Float[Array, "batch frames"],
    context: Context,
    cache: KVCache | None = None,
    more_keys: Callable[..., Past] | None = None,
  ) -> Clip:
    """Outputs in the shapes of `clip`, the frames that follow those in `cache`.

    Keys and values of the clip are sown into the collection "kv", if that is mutable. For `more_keys`
    see `with_more`.

    Raises:
      UserError: a sense of `clip` is unknown or its shape is not [batch, frames, *sense.shape], nor one of
        another height and width that its patch divides.
    """
    dtype = jnp.dtype(self.dtype)
    self._check(clip, t)
    # Of the clip's own height and width, which may be others than those it was built with.
    present = [sense.on(clip[sense.name].shape[2:]) for sense in self.senses if sense.name in clip]

    def dense(features, name, **kw):
      return Dense(features, dtype=dtype, name=name, **kw)

    text, text_real = TextEncoder(self.text_width, dtype=dtype, name="text")(context.text)
    text = EmbeddingNoise(self.text_noise, name="text_noise")(text)
    weight = text_real[..., None].astype(dtype)
    pooled = jnp.sum(text * weight, 1) / jnp.sum(weight, 1)
    pooled = dense(self.condition_width, "pooled")(pooled)
    for name in self.micro:
      number = getattr(context, name)
      number = jnp.full(len(t), jnp.nan) if number is None else number
      pooled += MicroCondition(self.condition_width, dtype, name=f"{name}_micro")(number)
    pooled = pooled[:, None]
    features = time_features(t).astype(dtype)  # [batch, frames, features]

    def condition(name, features):
      h = nn.silu(dense(self.condition_width, f"{name}_time")(features))
      return dense(self.condition_width, f"{name}_condition")(h)

    streams = {"text": text[:, None]}
    # What the caption is of in a causal model must not tell a frame when later ones are.
    when = (
      time_features(jnp.zeros((len(t), 1))).astype(dtype) if self.causal else features.mean(1, keepdims=True)
    )
    conditions = {"text": condition("text", when) + pooled}
    angles = {"text": rotary_angles(np.zeros((text.shape[1], 3)), self.width // self.heads)}
    # Where there is but one sense nobody is apart from it.
    apart = context.apart if len(self.senses) > 1 else None
    who = {"text": stream_tokens(text_real[:, None], TEXT, apart=apart)}
    past = None if cache is None else Past(cache, {"text": angles["text"]}, dict(who))
    for number, sense in enumerate(present, 1):
      x, name = clip[sense.name].astype(dtype), sense.name
      valid = context.valid.get(name)
      if valid is not None:
        x = jnp.where(jnp.reshape(valid, valid.shape + (1,) * len(sense.shape)), x, 0)
      tokens = patchify(x, sense)
      batch, time, place, _ = tokens.shape
      width = self.width if name == self.senses[0].name else self.side_width
      streams[name] = dense(width, f"{name}_in")(tokens)
      conditions[name] = condition(name, jnp.reshape(features, (batch, time, -1))) + pooled
      slots = 0 if past is None else past.slots(name)
      angles[name] = rotary_angles(
        positions(sense, (slots + time) * sense.patch[0]), self.width // self.heads
      )
      real = jnp.ones((batch, time), bool) if valid is None else valid.reshape(batch, time, -1).any(-1)
      real = TokenDrop(self.token_drop, name=f"{name}_drop")(jnp.repeat(real, place, 1))
      last, placed = (np.arange(slots + time) + 1) * sense.patch[0] - 1, len(sense.shape) > 1
      real = jnp.reshape(real, (batch, time, place))
      who[name] = stream_tokens(real, number, last[slots:], placed, apart)
      if past is not None:
        # Empty slots come first: without them the window begins at position 0, as a clip does.
        empty = slots * sense.patch[0] - cache.frames
        angles[name] = angles[name] - empty * rotary_angles(np.eye(1, 3), self.width // self.heads)
        filled = jnp.arange(slots) * sense.patch[0] >= empty
        filled = jnp.broadcast_to(filled[:, None], (batch, slots, place))
        every = stream_tokens(jnp.concatenate([filled, real], 1), number, last, placed, apart)
        past.angles[name], past.tokens[name] = angles[name], every
        angles[name] = angles[name][slots * place :]
    judged = self.labels and (self.is_initializing() or self.is_mutable_collection("scores"))
    if judged:
      conditions["emoji"] = condition("emoji", features.mean(1, keepdims=True))
    if judged and self.emoji:
      vector = emoji_vector(self.emoji, self.side_width)
      streams["emoji"] = jnp.broadcast_to(vector.astype(dtype), (len(t), 1, 1, self.side_width))
      angles["emoji"] = rotary_angles(np.zeros((1, 3)), self.width // self.heads)
      who["emoji"] = stream_tokens(jnp.ones((len(t), 1, 1), bool), EMOJI)

    sizes = self.heads, self.width // self.heads, dtype, self.forms, tuple(present), self.attention
    kinds = {"causal": self.causal, "rope_jitter": self.rope_jitter, "remat": self.remat}

    def block(model, layer):
      return Block(*sizes, **kinds, name=f"block_{layer}", parent=model)

    timed = tuple(sense.name for sense in present)
    placed = tuple(sense.name for sense in present if len(sense.shape) > 1)
    past = past if more_keys is None else with_more(past, more_keys, angles, who)
    streams = trunk(self, block, streams, conditions, angles, who, timed, placed, past)

    out = {}
    for sense in present:
      x, name = streams[sense.name], sense.name
      m = dense(2 * x.shape[-1], f"{name}_modulation", kernel_init=_zeros)(nn.silu(conditions[name]))
      x = _modulate(x, *jnp.split(m, 2, -1))
      values = math.prod(sense.patch) * sense.shape[-1]
      out[name] = unpatchify(dense(values, f"{name}_out", kernel_init=_zeros)(x), sense).astype(jnp.float32)
      if self.mask and (self.is_initializing() or self.is_mutable_collection("mask")):
        share = unpatchify(dense(values, f"{name}_mask", kernel_init=_zeros)(x), sense)
        share = nn.sigmoid(Concrete(name=f"{name}_throw")(share.astype(jnp.float32)))
        if not self.is_initializing():
          # A sigmoid is never 0; stretched and cut it can be: a hard concrete gate (arXiv 1712.01312).
          self.sow("mask", name, jnp.clip(1.2 * share - 0.1, 0, 1))
    if judged:
      if self.emoji:
        x = streams["emoji"]
      else:
        states = {s.name: _mean(_norm(streams[s.name]), who[s.name].real) for s in present}
        x = sum(dense(self.side_width, f"{name}_pooled")(state) for name, state in states.items())
      m = dense(2 * self.side_width, "emoji_modulation", kernel_init=_zeros)(nn.silu(conditions["emoji"]))
      x = _modulate(x, *jnp.split(m, 2, -1))
      score = dense(self.labels, "scores")(x)[:, 0, 0].astype(jnp.float32)
      if not self.is_initializing():  # Else they would be among the parameters.
        self.sow("scores", "labels", score)
    return out

  def _check(self, clip: Clip, t) -> None:
    known: dict[str, Sense] = {sense.name: sense for sense in self.senses}
    for name, x in clip.items():
      if name not in known:
        raise UserError(f"the model has no sense {name!r}; it has {', '.join(known)}.")
      try:
        expected = (*t.shape, *known[name].on(x.shape[2:]).shape)
      except ValueError:
        expected = (*t.shape, *known[name].shape)
      if tuple(x.shape) != expected:
        raise UserError(f"{name} has shape {tuple(x.shape)}; the model expects {expected}.")
      if t.shape[1] % known[name].patch[0]:
        raise UserError(f"{name} takes frames in groups of {known[name].patch[0]}; got {t.shape[1]}.")
