"""The mesh of devices, and where each array lies on it: one table from logical axes to the mesh's.

The mesh is data x fsdp x tensor x context, and of context's devices `ulysses` swap tokens for heads
and the others form rings (`models.context_parallel`). Arrays name their axes by what they are;
RULES says along which axes of the mesh each such axis is cut. Parameters declare their axes where they are
used (`models.parameters`). An axis that does not divide is not cut.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number

AXES = ("data", "fsdp", "tensor", "ring", "ulysses")

RULES = {
  "batch": ("data", "fsdp"),
  "tokens": ("ring", "ulysses"),
  "heads": ("tensor",),
  "hidden": ("tensor",),
  "width": ("fsdp", "ring", "ulysses"),
  None: (),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshShape:
  """Devices along each axis; one of them may be -1: all that are left.

  Attributes:
    data: copies of the parameters, each with its part of the batch.
    fsdp: parts the batch is cut into, and with those of context the parameters.
    tensor: parts the heads and the perceptrons' hidden layers are cut into.
    context: parts the tokens of a clip are cut into.
    ulysses: of these, how many swap tokens for heads by an all-to-all; the others pass keys round rings.
  """

  data: int = number(-1, least=-1)
  fsdp: int = number(1, least=-1)
  tensor: int = number(1, least=-1)
  context: int = number(1, least=-1)
  ulysses: int = number(1, least=1)

  def __post_init__(self):
    check_fields(self, "mesh")
    sizes = self._sizes()
    if 0 in sizes.values() or list(sizes.values()).count(-1) > 1:
      raise UserError(f"mesh {self._said()}: sizes are at least 1, and one of them may be -1.")
    if self.context != -1 and self.context % self.ulysses:
      raise UserError(f"mesh.ulysses={self.ulysses} must divide mesh.context={self.context}.")

  def _sizes(self) -> dict[str, int]:
    return {"data": self.data, "fsdp": self.fsdp, "tensor": self.tensor, "context": self.context}

  def _said(self) -> str:
    return ", ".join(f"{name}={size}" for name, size in self._sizes().items())

  def sizes(self, devices: int) -> dict[str, int]:
    """data, fsdp, tensor and context on so many devices.

    Raises:
      UserError: they cannot be laid out so.
    """
    sizes = self._sizes()
    known = math.prod(size for size in sizes.values() if size > 0)
    if devices % known or (-1 not in sizes.values() and known != devices):
      raise UserError(f"mesh {self._said()} does not fit {devices} device(s).")
    sizes = {name: devices // known if size == -1 else size for name, size in sizes.items()}
    if sizes["context"] % self.ulysses:
      raise UserError(f"mesh.ulysses={self.ulysses} must divide mesh.context={sizes['context']}.")
    return sizes

  def build(self, devices=None) -> Mesh:
    """Over `devices`, near ones next to each other; data goes across slices that are far apart.

    Raises:
      UserError: the devices cannot be laid out so.
    """
    devices = jax.devices() if devices is None else list(np.ravel(devices))
    data, fsdp, tensor, context = self.sizes(len(devices)).values()
    shape = (data, fsdp, tensor, context // self.ulysses, self.ulysses)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
      laid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    elif data % slices:
      raise UserError(f"mesh data={data} must be a multiple of the {slices} slices.")
    else:
      inner = (data // slices, *shape[1:])
      outer = (slices, 1, 1, 1, 1)
      laid = mesh_utils.create_hybrid_device_mesh(inner, outer, devices, allow_split_physical_axes=True)
    return Mesh(laid, AXES)


def on_mesh(mesh: Mesh, f: Callable) -> Callable:
  """`f`, whose trace knows `mesh`: `constrain` and attention then cut along it."""

  @functools.wraps(f)
  def traced(*args, **kw):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return f(*args, **kw)

  return traced


def current_mesh() -> jax.sharding.AbstractMesh | None:
  """That of `on_mesh`; None if there is none, or it is of one device."""
  mesh = jax.sharding.get_abstract_mesh()
  return None if mesh.empty or mesh.size == 1 else mesh


def device_kind() -> str:
  """Of the devices that are traced for."""
  mesh = jax.sharding.get_abstract_mesh()
  return jax.devices()[0].device_kind if mesh.empty else mesh.abstract_device.device_kind


def parts(mesh, axis: str | None) -> int:
  """How many parts a logical axis is cut into."""
  return math.prod(mesh.shape[name] for name in RULES[axis])


def spec(mesh, shape: tuple[int, ...], axes: tuple[str | None, ...]) -> P:
  """Where an array of that shape lies whose axes are so called."""
  named = zip(shape, axes, strict=True)
  return P(*(RULES[axis] if axis and size % parts(mesh, axis) == 0 else None for size, axis in named))


def constrain(x, *axes: str | None):
  """`x`, which the compiler is told lies as its logical axes say; as it is where there is no mesh."""
  mesh = current_mesh()
  return x if mesh is None else jax.lax.with_sharding_constraint(x, spec(mesh, x.shape, axes))


def constrain_batch(x):
  """`x` with its first axis cut as a batch is, the others as the compiler likes."""
  mesh = current_mesh()
  if mesh is None or x.ndim < 2 or x.shape[0] % parts(mesh, "batch"):
    return x
  free = (P.UNCONSTRAINED,) * (x.ndim - 1)
  return jax.lax.with_sharding_constraint(x, P(RULES["batch"], *free))


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The first axis cut as a batch is."""
  return NamedSharding(mesh, P(RULES["batch"]))


def path_name(path) -> str:
  """A path in a tree as a/b/c."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


@runtime_checkable
class Declared(Protocol):
  """What the mesh asks of a declared parameter (`models.parameters.Parameter`).

  Attributes:
    shape, axes: its own shape, and what these axes are called; () if they have no names.
    stack: the leading axes of the stored array, before `shape`; they are never cut.
  """

  shape: tuple[int, ...]
  axes: tuple[str | None, ...]
  stack: tuple[int, ...]


def declared_spec(mesh, parameter: Declared) -> P:
  """Where the array that holds the declared parameter lies.

  Axes are cut as their names say (Megatron-LM, arXiv 1909.08053, for "tensor"); if they have none, as
  `plain_spec` says.
  """
  shape, axes = parameter.shape, parameter.axes
  own = spec(mesh, shape, axes) if axes else plain_spec(mesh, shape)
  return P(*(None,) * len(parameter.stack), *own)


def plain_spec(mesh, shape: tuple[int, ...]) -> P:
  """Where an undeclared array lies: a matrix is cut, as a width is, along the longest axis that divides."""
  cut = [axis for axis, size in enumerate(shape) if size % parts(mesh, "width") == 0]
  if len(shape) < 2 or not cut:
    return P()
  longest = max(cut, key=lambda axis: shape[axis])
  return P(*(RULES["width"] if axis == longest else None for axis in range(len(shape))))


def state_specs(mesh, state, declared=None):
  """Where each array of `state` lies: a tree of parameters, or of anything that holds trees like it.

  Args:
    mesh: that it lies on.
    state: of arrays or their shapes.
    declared: the declarations of the parameters; an array whose path ends in the path of one of them lies
      as that one does. None: no parameter is declared.
  """
  known = {tuple(path): p for path, p in jax.tree_util.tree_leaves_with_path(declared)}
  depths = {len(path) for path in known}

  def one(path, x):
    ends = (tuple(path[-depth:]) for depth in depths)
    found = next((known[end] for end in ends if end in known), None)
    return plain_spec(mesh, x.shape) if found is None else declared_spec(mesh, found)

  return jax.tree_util.tree_map_with_path(one, state)


def state_shardings(mesh: Mesh, state, declared=None):
  """`state_specs` as shardings."""
  specs = state_specs(mesh, state, declared)
  return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P))


def uncut(mesh, state, declared=None) -> Iterator[str]:
  """The names of matrices that lie whole on every device though the mesh would cut them."""
  specs = jax.tree.leaves(state_specs(mesh, state, declared), is_leaf=lambda x: isinstance(x, P))
  for (path, x), own in zip(jax.tree_util.tree_leaves_with_path(state), specs, strict=True):
    if len(x.shape) > 1 and not any(own) and mesh.size > mesh.shape["data"]:
      yield path_name(path)
