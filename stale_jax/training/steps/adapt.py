"""Training of an adapter: gradients, optimizer state and averages of the adapter alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxtyping import PRNGKeyArray

from stale_jax.models.adapters import Adapter, insert
from stale_jax.training.state import State
from stale_jax.training.steps.descent import Descent
from stale_jax.training.steps.train_step import Metrics, Needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterDescent:
  """A `TrainStep` that descends the gradient of a loss with respect to an adapter; `State.base` is frozen.

  An optimizer mask would save nothing: the gradients of the whole network would be computed and discarded.
  Here the frozen parameters are no argument of the differentiated function.

  Attributes:
    descent: draws, updates and averages the adapter. Its loss is a function of the network's parameters.
    adapter: settings of the adapter.
    draw_base: PRNG key -> parameters of the network, for their shapes; `begin_from` replaces them.
  """

  descent: Descent
  adapter: Adapter
  draw_base: Callable[[PRNGKeyArray], Any]

  @property
  def needs(self) -> Needs:
    """See `TrainStep`."""
    return self.descent.needs

  def init(self, key: PRNGKeyArray) -> State:
    """See `TrainStep`."""
    return self.descent.init(key).replace(base=self.draw_base(key))

  def begin_from(self, state: State, params) -> State:
    """See `TrainStep`."""
    return state.replace(base=params)

  def step(self, state: State, batch: Any) -> tuple[State, Metrics]:
    """See `TrainStep`."""
    base = state.base

    def loss(params, batch, key):
      return self.descent.loss(insert(base, self.adapter.scaled(params)), batch, key)

    descent = dataclasses.replace(self.descent, loss=loss)
    new, metrics = descent.step(state.replace(base=()), batch)
    return new.replace(base=base), metrics
