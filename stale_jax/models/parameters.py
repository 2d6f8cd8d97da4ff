"""Declared parameters: shape, initializer, partitioning and optimizer group, stated where they are used.

A network that declares its parameters can be initialised without a forward pass, and no other code depends on
their names: the mesh reads the logical axes, the optimizer the group. Parameters that repeat over layers are
*stored stacked*: one array holds all of them, with leading axes for the layers and, within a layer, for the
streams of equal width.

The initial value of a parameter depends on the PRNG key and on its path before stacking. It follows Flax's
rule (the SHA-1 hash of the path is folded into the key), so it has the same bits as in a Linen module at that
path.
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
  """The declaration of a parameter, or of several parameters of equal shape that are stored as one array.

  Attributes:
    shape: the shape of one parameter.
    init: the initializer, (key, shape) -> array.
    axes: the logical axes of `shape` (`mesh.RULES`); (): the longest axis of a matrix is sharded like the
      logical axis "width".
    orthogonal: whether Muon orthogonalises the updates.
    stack: the shape of the leading axes of the stored array, before `shape`.
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
    """Whether one parameter has two or more axes. Only these get weight decay, not norms and biases."""
    return len(self.shape) > 1

  @property
  def stored_shape(self) -> tuple[int, ...]:
    """The shape of the stored array."""
    return (*self.stack, *self.shape)


def stacked(tree: Any, prefixes: Sequence[str], stack: tuple[int, ...] = ()) -> Any:
  """Stacks the declarations of `tree`, one parameter per prefix.

  Args:
    tree: declarations of single parameters, by path.
    prefixes: prefixes of the paths in row-major order of `stack`.
    stack: the shape of the leading axes; its product is the number of prefixes.
  """

  def stack_one(path, parameter: Parameter):
    end = "/".join(entry.key for entry in path)
    return dataclasses.replace(parameter, stack=stack, paths=tuple(f"{start}/{end}" for start in prefixes))

  return jax.tree_util.tree_map_with_path(stack_one, tree)


def shapes(declared: Any) -> Any:
  """The shapes of the stored arrays, as `jax.ShapeDtypeStruct`s of float32."""
  return jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.stored_shape, jnp.float32), declared)


def draw(declared: Any, key: PRNGKeyArray) -> Any:
  """Initialises every parameter from `key`, with the same bits as a Linen module at its declared path."""

  def draw_one(parameter: Parameter):
    if parameter.init in (ZEROS, ONES):
      return parameter.init(key, parameter.stored_shape)
    # Flax counts the draws of each module; 1 is the first draw of the module that owns the parameter.
    hashes = np.array([_hash(*path.split("/")[:-1], 1) for path in parameter.paths], np.uint32)
    if not parameter.stack:
      return parameter.init(jax.random.fold_in(key, hashes[0]), parameter.shape)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(hashes)
    values = jax.vmap(lambda key: parameter.init(key, parameter.shape))(keys)
    return jnp.reshape(values, parameter.stored_shape)

  return jax.tree.map(draw_one, declared)


def by_path(declared: Any, params: Any) -> dict[str, Array]:
  """Unstacks the stored arrays: path -> parameter."""
  unstacked = {}
  for parameter, x in zip(jax.tree.leaves(declared), jax.tree.leaves(params), strict=True):
    parts = jnp.reshape(x, (-1, *parameter.shape))
    unstacked |= {path: parts[number] for number, path in enumerate(parameter.paths)}
  return unstacked


def named_key(key: PRNGKeyArray, *path: str | int) -> PRNGKeyArray:
  """Folds a path into `key`, by Flax's rule."""
  return jax.random.fold_in(key, np.uint32(_hash(*path)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
  """PRNG keys for the random draws of a block, by name.

  Attributes:
    key: the key of the network, or of one turn (`cycle`).
    path: the path of the block.
    number: the draw counter that Flax would fold into the key: 1, or 2 in a cycle. It reproduces the draws of
      the Linen modules that this code replaced: Flax traced the body of their scan twice.
  """

  key: PRNGKeyArray
  path: tuple[str, ...] = ()
  number: int = 1

  def __call__(self, *path: str) -> PRNGKeyArray:
    """The PRNG key at `path` within the block."""
    return named_key(self.key, *self.path, *path, self.number)


def _hash(*path: str | int) -> int:
  digest = hashlib.sha1()
  for part in path:
    digest.update(
      part.encode() if isinstance(part, str) else part.to_bytes((part.bit_length() + 7) // 8, "big")
    )
  return int.from_bytes(digest.digest()[:4], "big")
