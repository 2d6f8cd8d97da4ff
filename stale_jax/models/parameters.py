"""Declared parameters: shape, initial draw, partitioning and optimizer group, stated where they are used.

A network that declares its parameters needs no forward pass to be initialised, and no other code looks at
their names: the mesh reads the logical axes, the optimizer the group. Parameters that many layers have alike
are *stored stacked*: one array holds them all, with leading axes for the layers (and, within a layer, for
the streams of equal width).

The draw of a parameter depends on the key and on its path before stacking, by Flax's rule (the SHA-1 hash of
the path is folded into the key): the draw of a Linen module at that path.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

Initializer = Callable[..., Array]

ZEROS, ONES = jax.nn.initializers.zeros, jax.nn.initializers.ones
XAVIER = jax.nn.initializers.xavier_uniform()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
  """The declaration of a parameter, or of several that are stored as one array.

  Attributes:
    shape: of one of them.
    init: their initializer, (key, shape) -> array.
    axes: the logical axes of `shape` (`mesh.RULES`); (): the longest axis of a matrix is cut as a width is.
    orthogonal: whether its updates are orthogonalised where the optimizer is Muon.
    stack: the leading axes of the stored array, before `shape`.
    paths: the path of each parameter in the stack, in row-major order: layers first, then streams.
  """

  shape: tuple[int, ...]
  init: Initializer = ZEROS
  axes: tuple[str | None, ...] = ()
  orthogonal: bool = False
  stack: tuple[int, ...] = ()
  paths: tuple[str, ...] = ()

  @property
  def is_matrix(self) -> bool:
    """Whether one of them has two axes or more: such parameters decay, others (norms, biases) do not."""
    return len(self.shape) > 1

  @property
  def stored_shape(self) -> tuple[int, ...]:
    """The shape of the array that holds them."""
    return (*self.stack, *self.shape)


def stacked(tree: Any, prefixes: Sequence[str], stack: tuple[int, ...] = ()) -> Any:
  """The declarations of `tree`, each of as many parameters as there are `prefixes` to their paths."""

  def one(path, parameter: Parameter):
    end = "/".join(entry.key for entry in path)
    return dataclasses.replace(parameter, stack=stack, paths=tuple(f"{start}/{end}" for start in prefixes))

  return jax.tree_util.tree_map_with_path(one, tree)


def shapes(declared: Any) -> Any:
  """The stored shapes, in float32, as `jax.eval_shape` gives them."""
  return jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.stored_shape, jnp.float32), declared)


def draw(declared: Any, key: PRNGKeyArray) -> Any:
  """Draws every parameter from `key`, with the same bits as a Linen module at its declared path."""

  def one(parameter: Parameter):
    if parameter.init in (ZEROS, ONES):
      return parameter.init(key, parameter.stored_shape)
    # The first draw of the module that a parameter's path lies in.
    hashes = np.array([_hash(*path.split("/")[:-1], 1) for path in parameter.paths], np.uint32)
    if not parameter.stack:
      return parameter.init(jax.random.fold_in(key, hashes[0]), parameter.shape)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(hashes)
    values = jax.vmap(lambda key: parameter.init(key, parameter.shape))(keys)
    return jnp.reshape(values, parameter.stored_shape)

  return jax.tree.map(one, declared)


def by_path(declared: Any, params: Any) -> dict[str, Array]:
  """Every single parameter by its path, out of the arrays that hold them."""
  found = {}
  for parameter, x in zip(jax.tree.leaves(declared), jax.tree.leaves(params), strict=True):
    parts = jnp.reshape(x, (-1, *parameter.shape))
    found |= {path: parts[number] for number, path in enumerate(parameter.paths)}
  return found


def named_key(key: PRNGKeyArray, *path: str | int) -> PRNGKeyArray:
  """`key` with a path folded in, by Flax's rule."""
  return jax.random.fold_in(key, np.uint32(_hash(*path)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
  """The keys of what a block draws, by name.

  Attributes:
    key: of the network, or of a turn of it.
    path: of the block.
    number: of the draw. In a cycle it is the second, since Flax traced the body of its scans twice: draws
      are those of the Linen modules that were here before.
  """

  key: PRNGKeyArray
  path: tuple[str, ...] = ()
  number: int = 1

  def __call__(self, *path: str) -> PRNGKeyArray:
    """The key of the draw at `path` within the block."""
    return named_key(self.key, *self.path, *path, self.number)


def _hash(*path: str | int) -> int:
  digest = hashlib.sha1()
  for part in path:
    digest.update(
      part.encode() if isinstance(part, str) else part.to_bytes((part.bit_length() + 7) // 8, "big")
    )
  return int.from_bytes(digest.digest()[:4], "big")
