"""The annotations of stale_jax are checked while tests run: shapes and dtypes of arrays, and types.

An import hook of jaxtyping decorates every function and dataclass of the package with a check by beartype.
"""

import functools
import inspect

import beartype
import jax
import jaxtyping
import numpy as np

_CONF = beartype.BeartypeConf(is_pep484_tower=True)  # An int is a float, as for static checkers.


def install() -> None:
  """Checks what is imported from now on."""
  # JAX's functions take NumPy's arrays, too, and so do ours.
  jaxtyping.Array = jax.Array | np.ndarray
  jaxtyping.install_import_hook("stale_jax", f"{__name__}.checked")


def checked(function):
  """`function` with a check of its arguments and of what it returns, by its annotations."""
  check = beartype.beartype(function, conf=_CONF)
  if function.__name__ != "__init__":
    return check

  @functools.wraps(function)
  def init(self, *args, **kwargs):
    chosen = function if _is_exempt(type(self)) else check
    return chosen(self, *args, **kwargs)

  return init


@functools.cache
def _is_exempt(cls: type) -> bool:
  """Whether the fields of a dataclass are not checked by their annotations."""
  # JAX rebuilds pytrees with anything as leaves: shapes, shardings, None, axes of `vmap`.
  is_pytree = hasattr(cls, "_flax_dataclass")
  # Sections of configs check their fields themselves, for which users get a `UserError`.
  after = inspect.unwrap(getattr(cls, "__post_init__", _is_exempt))
  return is_pytree or "check_fields" in after.__code__.co_names
