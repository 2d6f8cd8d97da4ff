"""cr-hinge: a multi-label hinge read off one fixed token (nickname: cringe).

Stale Diffusion, arXiv 2404.01079. A token that is not learnt, 😂 by default, stands beside the
clip in the transformer (`models/emoji.py`); from its output state a linear head scores every
label of the clip, at whatever noise level the clip is. A head trained so is a classifier of
noised clips, and with that a reward (`evaluation.reward`).

The head is to judge the clip, not the caption. The token does not see the caption, but the senses
that it does see have read it, in every layer. So only examples whose caption was withheld count,
the unconditional ones of classifier-free guidance, and scores are only asked for without a caption
(`models.scores`). That costs no second pass; the price is that the head learns from
`training.caption_dropout` of the batch alone. Trained on captioned clips too and asked with their
captions, a micro model read the speed of clips noised to t = .95 rightly in 1.00 of cases, and in
.00 with captions that lie: it had read the caption. Trained as here, .52 and .52; chance is .50.
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
  """Signed weights for `hinge`: for each name in turn 1 at its classes and -1 / (classes - 1) elsewhere.

  A class then weighs what all its rivals weigh together. Were they 1 each, a score of -1
  everywhere would be the best answer until some class is more likely than not; so it is right for a
  score to rise with the first evidence that its class is more likely than by chance.

  Args:
    labels: name -> class, or which of them apply, as in a `Batch`; -1, or a name that is not there: unknown,
      which is all 0.
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
    scores: of each label.
    signs: positive where the label applies, negative where it does not, 0 where that is not known.
      The magnitude is the label's weight in the mean; with +-1 it is the plain hinge.
  """
  weight = jnp.abs(signs)
  margin = jnp.maximum(0, 1 - jnp.sign(signs) * scores)
  total = jnp.sum(weight, -1)
  return jnp.sum(weight * margin, -1) / jnp.where(total > 0, total, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cringe(Objective):
  """The hinge of the scores, averaged over the examples that have a label and no caption.

  Attributes:
    labels: name -> number of classes, in the order of the scores.
    weight: beside the other objectives.
    emoji: whose token the network has; "": none, and the scores are read off the mean of its tokens.
  """

  labels: Mapping[str, int]
  weight: float = number(0.1, least=0)
  emoji: str = "😂"

  def __post_init__(self):
    check_fields(self, "cringe")
    if len(self.emoji) > 1:
      raise UserError(f"cringe.emoji={self.emoji!r} must be a single code point, or empty for none.")

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """The weighted `loss` to minimise, and the hinge itself as `loss/cringe`."""
    target = targets(batch.labels, self.labels)
    counts = empty(batch.context.text) & jnp.any(target != 0, -1)
    mean = jnp.sum(counts * hinge(prediction.scores, target)) / jnp.maximum(jnp.sum(counts), 1)
    return {"loss": self.weight * mean, "loss/cringe": mean}
