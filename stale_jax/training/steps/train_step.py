"""What a kind of training is: a first state, a step, and the parts of a batch that the step reads."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Batch
from stale_jax.training.state import State

# Parts of a batch that a step may need; captions and indices of the examples are always there.
CLIP, LABELS, MICRO = "clip", "labels", "micro"
Needs = frozenset[str]

Metrics = dict[str, Float[Array, ""]]


def needed(batch: Batch, needs: Needs) -> Batch:
  """`batch` without the parts that are not in `needs`."""
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
  """One kind of training, ready to be laid out on a mesh (`training.program`).

  All three methods are pure and traced by JAX: they read no data.

  Attributes:
    needs: parts of a batch that `step` reads, of CLIP, LABELS and MICRO; the others are not in the batch. A
      step without CLIP has neither of the other two: the loader then reads captions alone.
  """

  needs: Needs

  def init(self, key: PRNGKeyArray) -> State:
    """The state before the first step, with parameters drawn from `key`."""
    ...

  def begin_from(self, state: State, params) -> State:
    """`state`, which is as `init` returns it, with the given parameters in place of the drawn ones."""
    ...

  def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
    """The state after one update, and scalars for the log, `loss` among them."""
    ...


@runtime_checkable
class StepSettings(Protocol):
  """Settings of one kind of training, as a config describes them; frozen."""

  def check(self, experiment) -> None:
    """Raises UserError if the rest of `experiment` does not fit; called when the config is built."""
    ...

  def build(self, experiment) -> TrainStep:
    """The step of `experiment`. Reads the statistics of the data that the step needs.

    Raises:
      UserError: the experiment can be sampled from, but cannot be trained so.
    """
    ...
