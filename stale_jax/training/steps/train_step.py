"""The protocol of a kind of training: an initial state, a step, and the parts of a batch that it reads."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch
from stale_jax.training.state import State

# Optional parts of a batch. Captions and the indices of the examples are always present.
CLIP, LABELS, MICRO = "clip", "labels", "micro"
Needs = frozenset[str]

Metrics = dict[str, Float[Array, ""]]


def needed(batch: Batch, needs: Needs) -> Batch:
  """Returns `batch` without the optional parts that are not in `needs`."""
  context, has_clip = batch.context, CLIP in needs
  if MICRO not in needs:
    context = context.replace(fps=None, motion=None)
  return batch.replace(
    clip=batch.clip if has_clip else {},
    context=context if has_clip else context.replace(valid={}),
    labels=batch.labels if LABELS in needs else {},
  )


@runtime_checkable
class TrainStep(Protocol):
  """One kind of training. `training.program` jits its methods for a mesh.

  All three methods are pure and traced by JAX, so they read no data.

  Attributes:
    needs: the optional parts of a batch that `step` reads: a subset of CLIP, LABELS and MICRO. The other
      parts are left out of the batch. LABELS and MICRO require CLIP: without it, the loader reads only
      captions.
  """

  needs: Needs

  def init(self, key: PRNGKeyArray) -> State:
    """The state before the first step, with parameters drawn from `key`."""
    ...

  def begin_from(self, state: State, params) -> State:
    """Returns the state before the first step with parameters `params`; `state` is the result of `init`."""
    ...

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """Returns the state after one update, and scalar metrics for the log, including `loss`."""
    ...


@runtime_checkable
class StepSettings(Protocol):
  """Settings of one kind of training, from a section of the config. Implementations are frozen."""

  def check(self, experiment) -> None:
    """Raises UserError if these settings do not suit `experiment`; called when a config is built."""
    ...

  def build(self, experiment) -> TrainStep:
    """Builds the step of `experiment`. Reads the statistics of the data that the step needs.

    Raises:
      UserError: the experiment cannot be trained in this way, although it can be sampled from.
    """
    ...
