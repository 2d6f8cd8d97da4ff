"""The file in which `experiments.evaluate` keeps the scores of a model."""

from typing import Any

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, read_object


def scores_path(path: AnyPath) -> AnyPath:
  """File with the scores of a model; `path` is a run folder or a weights file."""
  return path / "evaluation.json" if path.is_dir() else path.with_suffix(".json")


def read_scores(path: AnyPath) -> dict[str, dict[str, Any]]:
  """Suite -> scores of a model that `experiments.evaluate` has stored; empty if none has been measured.

  Args:
    path: a run's folder or a weights file.

  Raises:
    UserError: the file is damaged.
  """
  path, advice = scores_path(path), "move or delete it, and measure the model again"
  if not path.is_file():
    return {}
  scores = read_object(path, advice)
  for suite, values in scores.items():
    if not isinstance(values, dict):
      raise UserError(f"{path} holds no scores of the suite {suite!r}; {advice}.")
  return scores
