"""A looped trunk: the same blocks are applied several times, in *turns* (nickname: Krebs).

Stale Diffusion (arXiv 2404.01079) calls it a citric acid cycle. The mechanism is a looped transformer
(Universal Transformer, arXiv 1807.03819; recurrent depth, arXiv 2502.05171). The streams of the senses start
each turn from the result of the previous turn plus a learned projection of the trunk's input; the caption
starts each turn from its own input. The number of turns can therefore be chosen at inference. In training the
number of turns of each step is drawn uniformly from 1 to the maximum.

Each turn receives its index through the blocks' modulation, as in the Universal Transformer. (In a test, the
loss of a small model at 1, 2 and 4 turns was .175, .168 and .172 without an index; .170, .164 and .165 with
the number of remaining turns; .161, .159 and .160 with the index of the turn; one seed, 1,500 steps.)
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray

from stale_jax.models.lanes import Lane
from stale_jax.models.layers import TIME_FEATURES, linear, linear_parameters, time_features
from stale_jax.models.mixers import TokenLayout
from stale_jax.models.parameters import ZEROS, named_key, stacked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cycle:
  """A trunk that is applied `turns` times with the same parameters.

  Attributes:
    trunk: the blocks of one turn, a `trunk.Trunk` or `merging.MergingTrunk`.
    turns: number of turns when sampling, the maximum in training.
    dtype: dtype of the computation.
  """

  trunk: Callable
  turns: int
  dtype: DTypeLike = jnp.float32

  def parameters(
    self, lanes: tuple[Lane, ...], widths: dict[str, int], condition_width: int
  ) -> dict[str, Any]:
    """Declares the parameters of the loop: the embedding of the index of a turn, and a projection per lane.

    At each turn the projection of the trunk's input is added to the output of the previous turn.

    Args:
      lanes: the lanes of the senses.
      widths: stream -> width.
      condition_width: width of the conditions for the modulation.
    """
    out = {"turn": stacked(linear_parameters(TIME_FEATURES, condition_width, ZEROS), ["turn"])}
    for lane in lanes:
      inject = linear_parameters(widths[lane.key], widths[lane.key], ZEROS)
      out[f"{lane.stored}_inject"] = lane.stack(inject, "inject")
    return out

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    streams: dict[str, Array],
    conditions: dict[str, Array],
    layout: TokenLayout,
    key: PRNGKeyArray | None = None,
    return_aux: tuple[str, ...] = (),
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """See `trunk.Trunk`. Auxiliary outputs get a leading axis for turns if there are several.

    The senses start each turn from the output of the previous turn; the other streams start each turn from
    their input. With a key, as in training, the number of turns is drawn and there are no auxiliary outputs.
    """
    entry = streams
    keys = None if key is None else jax.random.split(key, self.turns)
    carried = {lane.key: lane for lane in lanes if lane.key in layout.timed}

    def run_turn(streams, number):
      features = time_features(jnp.float32(number) / 8).astype(self.dtype)
      embedding = linear(params["turn"], features, self.dtype)
      turn_conditions = {at: condition + embedding for at, condition in conditions.items()}
      turn_streams = dict(entry)
      for at, lane in carried.items():
        inject = lane.map(lambda params, x: linear(params["inject"], x, self.dtype))
        turn_streams[at] = streams[at] + inject(lane.parameters(params, "inject"), entry[at])
      turn_key = None if keys is None else keys[number]
      return self.trunk(params, lanes, turn_streams, turn_conditions, layout, turn_key, return_aux)

    if key is None and self.turns == 1:
      return run_turn(streams, 0)
    drawn = self.turns
    if key is not None:
      drawn = jax.random.randint(jax.random.fold_in(named_key(key, 1), 0x6B72), (), 1, self.turns + 1)

    def body(streams, number):
      if key is None:
        return run_turn(streams, number)
      return jax.lax.cond(number < drawn, lambda x: run_turn(x, number)[0], lambda x: x, streams), {}

    return jax.lax.scan(body, streams, jnp.arange(self.turns))
