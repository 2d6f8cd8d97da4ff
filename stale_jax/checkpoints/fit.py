"""Whether parameters fit a network: their names and shapes."""

from typing import Any

import jax
import numpy as np

from stale_jax.errors import UserError
from stale_jax.mesh import path_name


def difference(found: Any, expected: Any, where: Any, here: Any) -> str | None:
  """The first difference between two trees of arrays in names or shapes, as text; None if there is none.

  Args:
    found, expected: trees of arrays, or of their shapes. Parameters come first: with another network, the
      state of the optimizer differs, too.
    where, here: where the two trees are, for the text.
  """
  found, expected = _shapes(found), _shapes(expected)
  for name in sorted(found | expected, key=lambda name: (not name.startswith("params"), name)):
    if found.get(name) != expected.get(name):
      there, wanted = found.get(name, "absent"), expected.get(name, "absent")
      return f"the shape of {name} is {there} in {where} and {wanted} in {here}"
  return None


def check_fit(params: Any, shapes: Any, name: Any) -> None:
  """Checks that the weights of a model fit its config.

  Args:
    params: the parameters, or their shapes.
    shapes: the shapes of the parameters of the config's network.
    name: path or name of the model, for the error message.

  Raises:
    UserError: a parameter is missing, superfluous or of another shape.
  """
  if text := difference(params, shapes, "the weights", "the config"):
    raise UserError(
      f"{name}: the weights do not fit the config: {text}; restore the config of these weights."
    )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(path): tuple(np.shape(leaf)) for path, leaf in leaves}
