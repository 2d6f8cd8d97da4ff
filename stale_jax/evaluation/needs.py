"""Checks of what a suite needs: the source that the model was trained on, and clips with finite values."""

import numpy as np

from stale_jax.clip import Clip
from stale_jax.data.source import Source
from stale_jax.errors import UserError


def digits_of(suite: str, source: Source, system) -> Source:
  """Returns `source` if it is the source 'digits' and the model has the sense sight.

  Args:
    suite: name of the suite, for the error message.
    source: source of training clips.
    system: the model's experiment, with its senses.

  Raises:
    UserError: the source is another one, or the model has no sight.
  """
  return _of_kind("digits", suite, source, system)


def cartoons_of(suite: str, source: Source, system) -> Source:
  """The same as `digits_of` for the source 'cartoons'."""
  return _of_kind("cartoons", suite, source, system)


def _of_kind(kind: str, suite: str, source: Source, system) -> Source:
  if source.kind != kind or "sight" not in [sense.name for sense in system.data.senses]:
    raise UserError(
      f"the suite {suite!r} needs a model with sight (image frames) that was trained on the source {kind!r}."
    )
  return source


def without_bias(what: str, system) -> None:
  """Raises UserError if the model's process has a bias of context, which `what` does not know."""
  if system.network.relation_width:
    raise UserError(
      f"{what} does not support models with a bias of context (model.relation_width); use another."
    )


def finite(clip: Clip) -> Clip:
  """Returns generated clips unchanged; raises UserError if they hold values that are not finite."""
  bad = [name for name, x in clip.items() if not np.isfinite(x).all()]
  if bad:
    raise UserError(
      f"the model generates NaN or infinite values ({', '.join(bad)}), which cannot be measured: change the "
      "settings of sampling, or train the model anew."
    )
  return clip
