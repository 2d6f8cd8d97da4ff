"""cr-hinge: a multi-label hinge loss on the output of one fixed token (nickname: cringe).

Stale Diffusion, arXiv 2404.01079. A token that is not learnt, 😂 by default, is added to the tokens of the
clip (`models/emoji.py`). A linear head scores every label of the clip from the token's output state, at any
noise level. The trained head is a classifier of noised clips, and therefore a reward (`evaluation.reward`).

The head should classify the clip, not the caption. The token does not attend to the caption, but the senses
that it attends to do, in every layer. The loss is therefore restricted to the examples whose caption was
dropped (the unconditional examples of classifier-free guidance), and label scores are computed without a
caption (`models.scores`). This needs no second forward pass, but the head learns only from the share
`training.caption_dropout` of the batch. In a test with a tiny model, the head was also trained on captioned
clips. Given their captions, it classified the speed of clips noised to t = .95 correctly in 1.00 of the
cases; given false captions, in .00: it had read the caption. Trained as here, it was correct in .52 and .52
of the cases; chance is .50.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Batch
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.objectives.objective import Objective
from stale_jax.objectives.prediction import Prediction
from stale_jax.text import empty


def targets(
  labels: Mapping[str, Int[Array, "batch *classes"]], counts: Mapping[str, int]
) -> Float[Array, "batch labels"]:
  """Signed weights for `hinge`: for each label name, 1 at its classes and -1 / (classes - 1) elsewhere.

  The true class has the same weight as all other classes of the label together. If each of the others had
  weight 1, a score of -1 for all classes would be optimal until one class is more likely than not. With these
  weights, the score of a class rises as soon as it is more likely than by chance.

  Args:
    labels: name -> class index [batch], or, for each class, 1 if it applies and 0 if not [batch, classes], as
      in a `Batch`. Labels that are -1 or absent are unknown; their weights are 0.
    counts: name -> number of classes.
  """
  size = len(next(iter(labels.values())))
  blocks = []
  for name, count in counts.items():
    label = jnp.asarray(labels.get(name, jnp.full(size, -1)))
    if label.ndim == 1:
      label = jnp.where(label[:, None] < 0, -1, jnp.arange(count) == label[:, None])
    weight = jnp.where(label > 0, 1.0, -1.0 / max(count - 1, 1))
    blocks.append(jnp.where(label < 0, 0.0, weight))
  return jnp.concatenate(blocks, -1)


def hinge(scores: Float[Array, "batch labels"], signs: Float[Array, "batch labels"]) -> Float[Array, "batch"]:
  """Mean over an example's known labels of max(0, 1 - sign score); 0 if none is known.

  Args:
    scores: the score of each label.
    signs: positive where the label applies, negative where it does not, 0 where it is unknown. The magnitude
      is the label's weight in the mean; +-1 gives the plain hinge.
  """
  weight = jnp.abs(signs)
  margin = jnp.maximum(0, 1 - jnp.sign(signs) * scores)
  total = jnp.sum(weight, -1)
  return jnp.sum(weight * margin, -1) / jnp.where(total > 0, total, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cringe(Objective):
  """The hinge loss of the label scores, averaged over the examples that have a label and no caption.

  Attributes:
    labels: name -> number of classes, in the order of the scores.
    weight: weight relative to the other objectives.
    emoji: the fixed token; "" adds no token, and the head reads the mean of the clip's tokens.
  """

  labels: Mapping[str, int]
  weight: float = number(0.1, least=0, most=1e6)
  emoji: str = "😂"

  def __post_init__(self):
    check_fields(self, "cringe")
    if len(self.emoji) > 1:
      raise UserError(f"cringe.emoji={self.emoji!r} must be a single code point, or empty for no token.")

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the weighted `loss` to minimise, and the unweighted hinge loss as `loss/cringe`."""
    signs = targets(batch.labels, self.labels)
    is_counted = empty(batch.context.text) & jnp.any(signs != 0, -1)
    mean = jnp.sum(is_counted * hinge(prediction.scores, signs)) / jnp.maximum(jnp.sum(is_counted), 1)
    return {"loss": self.weight * mean, "loss/cringe": mean}
