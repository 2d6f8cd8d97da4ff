"""A video transformer over all senses and text.

Each sense, and the caption, is a stream of tokens with its own weights and width. One joint attention
connects all streams (MMDiT: Stable Diffusion 3, arXiv 2403.03206).

This file contains the settings and a Linen module that stores the parameters. `network` assembles the parts:
`inputs` -> `trunk` (of `block`s, each with a mixer of `mixers` or `forms`; looped by `cycle`, with fewer
tokens by `merging`) -> `heads`. Parameters are declared (`parameters`), and the rest is a pure function of
them.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import MICRO, Clip, Context, Sense
from stale_jax.errors import UserError
from stale_jax.fields import choice, number
from stale_jax.mesh import MeshShape
from stale_jax.models.attention import BACKENDS, check_backend
from stale_jax.models.block import REMAT
from stale_jax.models.extra_keys import MoreKeys
from stale_jax.models.forms import MODES
from stale_jax.models.kv_cache import KVCache
from stale_jax.models.layers import DTYPES
from stale_jax.models.network import Network, build_network
from stale_jax.models.parameters import draw
from stale_jax.models.text import PATCH

# Flax collections that `apply` fills if they are mutable: the clip's keys and values; the plot gates of
# blocks with two forms; the senses' tokens after each block (`features`); the outputs of the heads `Scores`
# and `CopyMask`.
COLLECTIONS = ("kv", "intermediates", "features", "scores", "mask")


class Transformer(nn.Module):
  """The denoiser network: it predicts x0-style outputs for every sense of a noised clip.

  Attributes:
    senses: the senses that the model knows. A clip may lack some of them, and `Context.valid` masks frames.
    width: width of the first sense's stream.
    side_width: width of the stream of each other sense.
    text_width: width of the caption's stream.
    condition_width: width of the vectors of time and caption that modulate the blocks.
    depth: number of blocks.
    heads: number of attention heads; each is width / heads wide in every stream.
    text_length: length of a tokenized caption in bytes, a multiple of 4.
    word_buckets: number of embeddings of a second text encoder, of hashed words (`models.words`); 0: none.
    dtype: dtype of the computation; parameters are float32.
    labels: number of label scores, sown as "labels" into the collection "scores" if it is mutable; 0: no
      scores and no parameters for them.
    emoji: the character of the token from which the scores are computed; "": from the mean of each sense's
      tokens. The token sees every sense but not the caption, and no other token sees it, so it changes no
      output.
    token_drop: share of sense tokens that training masks out of attention (config.messup.drop).
    text_noise: norm of the noise that training adds to a text token (config.corruption.embedding).
    forms: "none": joint attention; "dense": two forms of attention per block, mixed by a gate (see
      `models.forms`); "concrete": the same with random gates in training, so that each form works alone;
      "hard": the same weights with only one form per block, for inference.
    turns: how many times the blocks are applied, the maximum in training (see `models.cycle`); 0: once,
      without the parameters of a cycle.
    merge: whether each turn merges a third of the tokens of senses with places, such as sight.
    mask: whether a head predicts, for each value, the share in [0, 1] that the network's output contributes,
      sown into the collection "mask" if it is mutable (`objectives.artv`).
    attention: backend of joint attention: "xla" runs anywhere, "splash" on TPUs, "cudnn" on GPUs. "auto" is
      "xla" for short clips and on the CPU, else the kernel of the device if it keeps the precision.
    causal: whether frames see no later frames and the caption sees no frames, so that a movie can be sampled
      frame by frame with a KV cache (`models.kv_cache`).
    rope_jitter: relative spread of the heads' temporal rotary bases; 0: all heads rotate at the same rates.
    micro: names of the micro-conditions on which the model is conditioned, from `clip.MICRO`.
    remat: which intermediate values of a block the backward pass recomputes to save memory. "none": none;
      "dots": all but the matrix products; "full": all.
    scan: whether to scan over the blocks, so that compilation takes the time of one block. None: on
      accelerators, but not on the CPU, where the steps of a scan are slower. The parameters are the same.
    skip: indices of blocks that are not applied (skip-layer guidance); the parameters are the same.
    relation_width: width of the relation that shifts noised clips (`models.relation`); 0: none.
    trained_frames: number of frames of the training clips, to scale attention to other numbers of tokens than
      those of such clips of `senses` (`models.entropy`); 0: no scaling. The parameters are the same.
  """

  senses: tuple[Sense, ...]
  width: int = number(160, least=1, most=1 << 20)
  side_width: int = number(32, least=1, most=1 << 20)
  text_width: int = number(64, least=1, most=1 << 20)
  condition_width: int = number(96, least=1, most=1 << 20)
  depth: int = number(6, least=1, most=10_000)
  heads: int = number(4, least=1, most=1 << 16)
  text_length: int = number(48, least=1, most=1 << 20)
  word_buckets: int = number(0, least=0, most=1 << 24)
  dtype: str = choice("float32", DTYPES)
  labels: int = number(0, least=0)
  emoji: str = ""
  token_drop: float = number(0.0, least=0, below=1)
  text_noise: float = number(0.0, least=0)
  forms: str = choice("none", ("none", *MODES))
  turns: int = number(0, least=0, most=10_000)
  merge: bool = False
  mask: bool = False
  attention: str = choice("auto", ("auto", *BACKENDS))
  causal: bool = False
  rope_jitter: float = number(0.0, least=0, most=1)
  micro: tuple[str, ...] = choice((), MICRO)
  remat: str = choice("none", REMAT)
  scan: bool | None = None
  relation_width: int = number(0, least=0, most=1 << 16)
  skip: tuple[int, ...] = number((), least=0)
  trained_frames: int = number(0, least=0)

  @property
  def text_tokens(self) -> int:
    """Number of tokens of a caption."""
    return self.text_length // PATCH * (2 if self.word_buckets else 1)

  @property
  def network(self) -> Network:
    """The network as a pure function."""
    return build_network(self)

  @property
  def declared(self) -> dict[str, Any]:
    """The declarations of all parameters, in the structure that `init` returns."""
    return {"params": self.network.declared}

  @nn.nowrap
  def init(self, rngs: PRNGKeyArray | Mapping[str, PRNGKeyArray], *example) -> dict[str, Any]:
    """Initialises the parameters without a forward pass.

    Args:
      rngs: a PRNG key, or a dictionary with the key "params".
      *example: ignored; accepted for compatibility with other Linen modules.
    """
    return draw(self.declared, rngs["params"] if isinstance(rngs, Mapping) else rngs)

  @nn.nowrap
  def check_mesh(self, mesh: MeshShape) -> None:
    """Raises UserError if the attention backend does not support this model, or not on this mesh."""
    joint = self.forms == "none" and not self.merge
    check_backend(self.attention, head_width=self.width // self.heads, joint=joint, mesh=mesh)

  @nn.nowrap
  def check_skip(self) -> None:
    """Raises UserError if the network does not have the blocks in `skip`, or none is left without them."""
    # Merging needs the attention of the first block.
    blocks = set(range(1 if self.merge else 0, self.depth))
    if not set(self.skip) <= blocks or set(self.skip) == blocks:
      raise UserError(
        f"sampling.skip_layers={self.skip}: name some of the blocks {min(blocks)} to {max(blocks)}, not all."
      )

  @nn.nowrap
  def encode_captions(self, params: dict[str, Any], context: Context) -> Context:
    """Returns `context` with its text encoded, so that a sampler encodes each caption only once."""
    return self.network.embedding.encode_captions(params["params"], context)

  @nn.nowrap
  def relate(self, params: dict[str, Any], clip: Clip, context: Context) -> Clip:
    """The relation h of a clean clip, or an estimate of one, to its caption (`models.relation`)."""
    context = self.encode_captions(params, context) if context.encoded is None else context
    return self.network.relation(params["params"]["relation"], clip, context.encoded)

  @nn.compact
  def __call__(
    self,
    clip: Clip,
    t: Float[Array, "batch frames"],
    context: Context,
    cache: KVCache | None = None,
    more_keys: MoreKeys | None = None,
  ) -> Clip:
    """Predicts x0-style outputs for a noised clip.

    With a PRNG stream "perturb", as in training, the perturbations of the settings are applied.

    Args:
      clip: noised clip, sense -> [batch, frames, *sense.shape]. Height and width may differ from those of the
        sense if its patch divides them.
      t: diffusion time of each frame, in [0, 1].
      context: captions, valid frames and micro-conditions.
      cache: keys and values of the frames before the clip; None: the clip is the start of a movie.
      more_keys: builds further keys and values to attend to (`extra_keys`).

    Returns:
      Outputs in the shapes of `clip`, in float32.

    Raises:
      UserError: a sense of `clip` is unknown, its shape does not fit, or its patch does not divide the number
        of frames.
    """
    self._check(clip, t)
    network, rngs = self.network, self.scope.rngs
    # `self.param` would not work: parameters may have the name of a field, and their PRNG keys depend only on
    # their paths.
    for name, declared in network.declared.items():
      if not self.has_variable("params", name):
        self.put_variable("params", name, draw(declared, rngs["params"].as_jax_rng()))
    params = {name: self.get_variable("params", name) for name in network.declared}
    key = rngs["perturb"].as_jax_rng() if "perturb" in rngs else None
    requested = tuple(
      name for name in COLLECTIONS if self.is_mutable_collection(name) and not self.is_initializing()
    )
    out, collections = network(params, clip, t, context, cache, more_keys, key, requested)
    for collection, values in collections.items():
      for name, value in values.items():
        self.put_variable(collection, name, value)
    return out

  def _check(self, clip: Clip, t) -> None:
    known: dict[str, Sense] = {sense.name: sense for sense in self.senses}
    for name, x in clip.items():
      if name not in known:
        raise UserError(f"the model has no sense {name!r}; its senses are {', '.join(known)}.")
      try:
        expected = (*t.shape, *known[name].on(x.shape[2:]).shape)
      except ValueError:
        expected = (*t.shape, *known[name].shape)
      if tuple(x.shape) != expected:
        raise UserError(f"{name} has shape {tuple(x.shape)}, but the model expects {expected}.")
      if t.shape[1] % known[name].patch[0]:
        raise UserError(
          f"{name} has {t.shape[1]} frames, not a multiple of its patch of {known[name].patch[0]} frames."
        )
