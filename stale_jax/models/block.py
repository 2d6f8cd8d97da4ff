"""A block of the transformer: a mixer over all streams, then a perceptron a stream, both modulated.

Modulation is adaLN-zero (DiT, arXiv 2212.09748) from the caption and from the times of the frames a token
covers, so that frames may be at different times. Blocks are stored stacked (`parameters`).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.mesh import constrain
from stale_jax.models.lanes import Lane, join
from stale_jax.models.layers import linear, linear_parameters, modulate
from stale_jax.models.mixers import Mixer, TokenLayout
from stale_jax.models.parameters import ZEROS, Draws, stacked

_STREAM_AXES = ("batch", None, "tokens", None)

# Name -> which values of a block are kept for its gradient.
REMAT = {
  "none": jax.checkpoint_policies.everything_saveable,
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockStack:
  """How blocks are stacked: `mixers.Stack`, over `depth` layers and the streams of each of `lanes`."""

  depth: int
  lanes: tuple[Lane, ...]

  def __call__(self, trees: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """See `mixers.Stack`."""
    blocks = tuple(f"block_{i}/{prefix}" for i in range(self.depth))
    return {
      f"{lane.stored}_{part}": lane.stack(tree, part, blocks, (self.depth,))
      for lane in self.lanes
      for part, tree in trees[lane.key].items()
    }

  def alone(self, tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """See `mixers.Stack`."""
    return {
      name: stacked(part, [f"block_{i}/{prefix}{name}" for i in range(self.depth)], (self.depth,))
      for name, part in tree.items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
  """One block.

  Attributes:
    mixer: how tokens hear of one another.
    width: of what it says of a token, over all heads.
    dtype: of the computation.
    remat: one of REMAT.
  """

  mixer: Mixer
  width: int
  dtype: jnp.dtype = jnp.float32
  remat: str = "none"

  def parameters(
    self, depth: int, lanes: Sequence[Lane], widths: dict[str, int], condition_width: int
  ) -> dict[str, Any]:
    """Declares the parameters of `depth` blocks over the streams of `lanes`, stream -> width."""
    stack = BlockStack(depth=depth, lanes=tuple(lanes))

    def own(width):
      return {
        "modulation": linear_parameters(condition_width, 6 * width, ZEROS),
        "out": linear_parameters(self.width, width, axes=("heads", "width"), orthogonal=True),
        "up": linear_parameters(width, 4 * width, axes=("width", "hidden"), orthogonal=True),
        "down": linear_parameters(4 * width, width, axes=("hidden", "width"), orthogonal=True),
      }

    mixing = self.mixer.parameters(widths, condition_width, stack)
    return {**stack({name: own(width) for name, width in widths.items()}), **mixing}

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    streams: dict[str, Float[Array, "*streams batch time place width"]],
    conditions: dict[str, Float[Array, "*streams batch time condition_width"]],
    layout: TokenLayout,
    name: str,
    draws: Draws | None = None,
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """The streams after the block, and what its mixer tells besides.

    Args:
      params: of this layer.
      lanes: of the clip.
      streams, conditions: of each lane.
      where: the tokens are.
      name: of the block.
      draws: keys of what its mixer draws; None in sampling.
    """

    def run(params, streams, conditions):
      return self._run(params, lanes, streams, conditions, layout, name, draws)

    # `where` is closed over: as an argument what NumPy knows of it would no longer be known while tracing.
    run = jax.checkpoint(run, policy=REMAT[self.remat]) if self.remat != "none" else run
    return run(params, streams, conditions)

  def _run(self, params, lanes, streams, conditions, layout, name, draws):
    modulations, entered = {}, {}
    for lane in lanes:
      own = lane.parameters(params, "modulation")
      at = lane.key
      entered[at], modulations[at] = lane.map(self._enter)(own, streams[at], conditions[at])
    attended, aux = self.mixer(params, lanes, entered, conditions["text"], layout, name, draws)
    attended, out = join(lanes, attended), {}
    for lane in lanes:
      own, at = lane.parameters(params, "out", "up", "down"), lane.key
      out[at] = lane.map(self._leave)(own, streams[at], attended[at], modulations[at])
    return out, aux

  def _enter(self, own, x, condition):
    """(what the mixer is given of a stream, the rest of the stream's modulation)."""
    parts = jnp.split(linear(own["modulation"], jax.nn.silu(condition), self.dtype), 6, -1)
    return modulate(x, *parts[:2]), parts[2:]

  def _leave(self, own, x, attended, modulation):
    """The stream after attention and perceptron."""
    gate, shift, scale, gate_mlp = modulation
    y = linear(own["out"], jnp.reshape(attended, (*x.shape[:3], -1)), self.dtype)
    x = constrain(x + gate[:, :, None] * y, *_STREAM_AXES)
    h = jax.nn.gelu(linear(own["up"], modulate(x, shift, scale), self.dtype))
    h = constrain(h, *_STREAM_AXES[:3], "hidden")
    y = linear(own["down"], h, self.dtype)
    return constrain(x + gate_mlp[:, :, None] * y, *_STREAM_AXES)
