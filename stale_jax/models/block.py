"""A transformer block: a mixer over all streams, then an MLP per stream, both modulated.

Modulation is adaLN-zero (DiT, arXiv 2212.09748). Its inputs are the caption and the diffusion times of the
frames that a token covers, so different frames may be at different times. The parameters of all blocks are
stored stacked (`parameters`).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from stale_jax.mesh import constrain
from stale_jax.models.lanes import Lane, join
from stale_jax.models.layers import linear, linear_parameters, modulate
from stale_jax.models.mixers import Mixer, TokenLayout
from stale_jax.models.parameters import ZEROS, Draws, stacked

_STREAM_AXES = ("batch", None, "tokens", None)

# Name -> which intermediate values of a block are saved for the backward pass.
REMAT = {
  "none": jax.checkpoint_policies.everything_saveable,
  "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockStack:
  """Implements `mixers.Stack` for `depth` blocks over the streams of `lanes`."""

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
  """One transformer block.

  Attributes:
    mixer: moves information between tokens, for example joint attention.
    width: width of the mixer's output, heads * head_width.
    dtype: dtype of the computation.
    remat: which intermediate values the backward pass recomputes, one of REMAT.
  """

  mixer: Mixer
  width: int
  dtype: DTypeLike = jnp.float32
  remat: str = "none"

  def parameters(
    self, depth: int, lanes: Sequence[Lane], widths: dict[str, int], condition_width: int
  ) -> dict[str, Any]:
    """Declares the parameters of `depth` blocks, stacked.

    Args:
      depth: number of blocks.
      lanes: the lanes of the model.
      widths: stream -> width.
      condition_width: width of the conditions for the modulation.
    """
    stack = BlockStack(depth=depth, lanes=tuple(lanes))

    def stream_parameters(width):
      return {
        "modulation": linear_parameters(condition_width, 6 * width, ZEROS),
        "out": linear_parameters(self.width, width, axes=("heads", "width"), orthogonal=True),
        "up": linear_parameters(width, 4 * width, axes=("width", "hidden"), orthogonal=True),
        "down": linear_parameters(4 * width, width, axes=("hidden", "width"), orthogonal=True),
      }

    mixing = self.mixer.parameters(widths, condition_width, stack)
    return {**stack({name: stream_parameters(width) for name, width in widths.items()}), **mixing}

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    streams: dict[str, Float[Array, "*streams batch _time _place _width"]],
    conditions: dict[str, Float[Array, "*streams batch _time condition_width"]],
    layout: TokenLayout,
    name: str,
    draws: Draws | None = None,
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """Applies the block.

    Args:
      params: the parameters of this layer.
      lanes: the lanes of the clip.
      streams: lane -> tokens; a lane of several streams has a leading axis for them.
      conditions: lane -> conditions for the modulation, one vector per time step.
      layout: positions, masks and shapes of the tokens.
      name: the name of the block.
      draws: PRNG keys for the mixer in training; None when sampling.

    Returns:
      (lane -> tokens after the block, auxiliary outputs of the mixer).
    """

    def run(params, streams, conditions):
      return self._run(params, lanes, streams, conditions, layout, name, draws)

    # Closing over `layout` keeps its NumPy arrays concrete; as an argument they would become tracers.
    run = jax.checkpoint(run, policy=REMAT[self.remat]) if self.remat != "none" else run
    return run(params, streams, conditions)

  def _run(self, params, lanes, streams, conditions, layout, name, draws):
    modulations, entered = {}, {}
    for lane in lanes:
      lane_params = lane.parameters(params, "modulation")
      at = lane.key
      entered[at], modulations[at] = lane.map(self._enter)(lane_params, streams[at], conditions[at])
    attended, aux = self.mixer(params, lanes, entered, conditions["text"], layout, name, draws)
    attended, out = join(lanes, attended), {}
    for lane in lanes:
      lane_params, at = lane.parameters(params, "out", "up", "down"), lane.key
      out[at] = lane.map(self._leave)(lane_params, streams[at], attended[at], modulations[at])
    return out, aux

  def _enter(self, params, x, condition):
    """Norms and modulates a stream. Returns (input of the mixer, modulation for `_leave`)."""
    parts = jnp.split(linear(params["modulation"], jax.nn.silu(condition), self.dtype), 6, -1)
    return modulate(x, *parts[:2]), parts[2:]

  def _leave(self, params, x, attended, modulation):
    """Adds the projected output of the mixer and the MLP to a stream."""
    gate, shift, scale, gate_mlp = modulation
    y = linear(params["out"], jnp.reshape(attended, (*x.shape[:3], -1)), self.dtype)
    x = constrain(x + gate[:, :, None] * y, *_STREAM_AXES)
    h = jax.nn.gelu(linear(params["up"], modulate(x, shift, scale), self.dtype))
    h = constrain(h, *_STREAM_AXES[:3], "hidden")
    y = linear(params["down"], h, self.dtype)
    return constrain(x + gate_mlp[:, :, None] * y, *_STREAM_AXES)
