"""Checks of two sets of features before a distance between them is estimated."""

import numpy as np
from jaxtyping import Float

from stale_jax.errors import UserError


def checked(
  a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m length"]
) -> tuple[Float[np.ndarray, "n features"], Float[np.ndarray, "m features"]]:
  """The sets in float64.

  Raises:
    UserError: a set has fewer than two clips or values that are not finite, or the sets have no features, or
      different numbers of them.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.shape[1] != b.shape[1] or not a.shape[1]:
    raise UserError(
      f"the sets have {a.shape[1]} and {b.shape[1]} features per clip: equally many are needed, at least 1."
    )
  for x in (a, b):
    if len(x) < 2:
      raise UserError(f"a set has {len(x)} clip(s): at least 2 are needed for a distance.")
    if bad := int((~np.isfinite(x)).any(1).sum()):
      raise UserError(f"the features of {bad} of {len(x)} clips are not finite (NaN or infinite).")
  return a, b
