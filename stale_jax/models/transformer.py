"""A video transformer over all senses and text at once.

Every sense, and the caption, is a stream with its own weights and width; one joint
attention lets all of them see one another (MMDiT: Stable Diffusion 3, arXiv 2403.03206).

This file has the settings; `network` puts the parts together: `inputs` -> `trunk` (of `block`s, each with a
mixer of `mixers` or `forms`; run round by `cycle`, with fewer tokens by `merging`) -> `heads`. Parameters are
declared (`parameters`), and the rest is a pure function of them; the Linen module below stores them.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import MICRO, Clip, Context, Sense
from stale_jax.errors import UserError
from stale_jax.fields import choice, number
from stale_jax.models.attention import BACKENDS
from stale_jax.models.block import REMAT
from stale_jax.models.extra_keys import MoreKeys
from stale_jax.models.forms import MODES
from stale_jax.models.kv_cache import KVCache
from stale_jax.models.layers import DTYPES
from stale_jax.models.network import Network, build_network
from stale_jax.models.parameters import draw

# What `apply` returns beside the outputs if the collection is mutable: keys and values of the clip; the plot
# gates of blocks with two forms; what these heads say.
TOLD = ("kv", "intermediates", "scores", "mask")


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
      time of one. None: on accelerators, but not on the CPU, where its steps are slower. The parameters are
      the same.
  """

  senses: tuple[Sense, ...]
  width: int = number(160, least=1)
  side_width: int = number(32, least=1)
  text_width: int = number(64, least=1)
  condition_width: int = number(96, least=1)
  depth: int = number(6, least=1)
  heads: int = number(4, least=1)
  text_length: int = number(48, least=1)
  dtype: str = choice("float32", DTYPES)
  labels: int = number(0, least=0)
  emoji: str = ""
  token_drop: float = number(0.0, least=0, below=1)
  text_noise: float = number(0.0, least=0)
  forms: str = choice("none", ("none", *MODES))
  turns: int = number(0, least=0)
  merge: bool = False
  mask: bool = False
  attention: str = choice("xla", BACKENDS)
  causal: bool = False
  rope_jitter: float = number(0.0, least=0, most=1)
  micro: tuple[str, ...] = choice((), MICRO)
  remat: str = choice("none", REMAT)
  scan: bool | None = None

  @property
  def network(self) -> Network:
    """The parts of which the network is put together."""
    return build_network(self)

  @property
  def declared(self) -> dict[str, Any]:
    """The declaration of every parameter, in the tree that `init` returns."""
    return {"params": self.network.declared}

  @nn.nowrap
  def init(self, rngs: PRNGKeyArray | Mapping[str, PRNGKeyArray], *example) -> dict[str, Any]:
    """Parameters drawn from the key `rngs` (or its "params"); no forward pass of an `example` is needed."""
    return draw(self.declared, rngs["params"] if isinstance(rngs, Mapping) else rngs)

  @nn.nowrap
  def encode_captions(self, params: dict[str, Any], context: Context) -> Context:
    """`context` with its text encoded, for samplers: they evaluate the network many times for one caption."""
    return self.network.embedding.encode_captions(params["params"], context)

  @nn.compact
  def __call__(
    self,
    clip: Clip,
    t: Float[Array, "batch frames"],
    context: Context,
    cache: KVCache | None = None,
    more_keys: MoreKeys | None = None,
  ) -> Clip:
    """Outputs in the shapes of `clip`, the frames that follow those in `cache`.

    Training gives an rng "perturb", the key of all that it perturbs; without it nothing is perturbed.

    Args:
      clip: noised.
      t: the time of each frame.
      context: of the clip.
      cache: keys and values of the frames before.
      more_keys: what else the tokens attend to (`extra_keys`).

    Raises:
      UserError: a sense of `clip` is unknown or its shape is not [batch, frames, *sense.shape], nor one of
        another height and width that its patch divides.
    """
    self._check(clip, t)
    network, rngs = self.network, self.scope.rngs
    # Not by `self.param`: a parameter may be called like a field, and its draw depends on its path alone.
    for name, declared in network.declared.items():
      if not self.has_variable("params", name):
        self.put_variable("params", name, draw(declared, rngs["params"].as_jax_rng()))
    params = {name: self.get_variable("params", name) for name in network.declared}
    key = rngs["perturb"].as_jax_rng() if "perturb" in rngs else None
    asked = tuple(name for name in TOLD if self.is_mutable_collection(name) and not self.is_initializing())
    out, told = network(params, clip, t, context, cache, more_keys, key, asked)
    for collection, values in told.items():
      for name, value in values.items():
        self.put_variable(collection, name, value)
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
