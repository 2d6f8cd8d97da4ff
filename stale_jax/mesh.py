"""The device mesh, and the sharding of every array: RULES maps logical axes to mesh axes.

The mesh has the axes data x fsdp x tensor x context. The context axis is split into `ulysses` devices, which
exchange tokens for heads, and rings (`models.context_parallel`). Arrays have logical axis names; RULES lists
the mesh axes that shard each logical axis. Parameters declare their logical axes where they are used
(`models.parameters`). An axis whose size is not divisible is not sharded.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
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
  """Number of devices along each mesh axis; one of them may be -1, all remaining devices.

  Attributes:
    data: data parallelism: replicas of the parameters, each with its part of the batch.
    fsdp: fully sharded data parallelism: shards of the batch, and, together with context, of the parameters.
    tensor: tensor parallelism: shards of the heads and of the hidden layers of MLPs.
    context: context parallelism: shards of the tokens of a clip.
    ulysses: size of the groups of context devices that exchange tokens for heads by an all-to-all (Ulysses).
      If it is less than `context`, keys and values also pass along rings of groups (ring attention).
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
      raise UserError(f"mesh {self._said()}: sizes must be at least 1; one of them may be -1.")
    if self.context != -1 and self.context % self.ulysses:
      raise UserError(f"mesh.ulysses={self.ulysses} must divide mesh.context={self.context}.")

  def _sizes(self) -> dict[str, int]:
    return {"data": self.data, "fsdp": self.fsdp, "tensor": self.tensor, "context": self.context}

  def _said(self) -> str:
    return ", ".join(f"{name}={size}" for name, size in self._sizes().items())

  def sizes(self, devices: int) -> dict[str, int]:
    """Sizes of data, fsdp, tensor and context on this number of devices.

    Raises:
      UserError: the mesh does not fit the number of devices.
    """
    sizes = self._sizes()
    known = math.prod(size for size in sizes.values() if size > 0)
    if devices % known or (-1 not in sizes.values() and known != devices):
      raise UserError(
        f"mesh {self._said()} does not fit {devices} device(s): the product of the sizes must be the number "
        "of devices."
      )
    sizes = {name: devices // known if size == -1 else size for name, size in sizes.items()}
    if sizes["context"] % self.ulysses:
      raise UserError(f"mesh.ulysses={self.ulysses} must divide mesh.context={sizes['context']}.")
    return sizes

  def build(self, devices=None) -> Mesh:
    """Builds the mesh over `devices`, so that neighbours in the mesh are neighbours on the network.

    Only the axis data spans several slices of TPUs. On GPUs, the last axes are within a machine if they fit.

    Raises:
      UserError: the mesh does not fit the devices.
    """
    devices = jax.devices() if devices is None else list(np.ravel(devices))
    data, fsdp, tensor, context = self.sizes(len(devices)).values()
    shape = (data, fsdp, tensor, context // self.ulysses, self.ulysses)
    slices = {device.slice_index for device in devices if device.platform == "tpu"}
    slices = max(1, len(slices))
    if slices == 1:
      laid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    elif data % slices:
      raise UserError(f"mesh data={data} must be a multiple of the {slices} slices.")
    else:
      inner = (data // slices, *shape[1:])
      outer = (slices, 1, 1, 1, 1)
      laid = mesh_utils.create_hybrid_device_mesh(inner, outer, devices, allow_split_physical_axes=True)
    return Mesh(laid, AXES)


def check_heads(heads: int, mesh: Mesh) -> None:
  """Raises UserError if the mesh cannot divide the attention heads evenly."""
  ways = mesh.shape["tensor"] * mesh.shape["ulysses"]
  if heads % ways:
    raise UserError(f"model.heads={heads} is not a multiple of mesh.tensor * mesh.ulysses = {ways}.")


def on_mesh(mesh: Mesh, f: Callable) -> Callable:
  """Wraps `f` so that it is traced with `mesh` as the current mesh, which `constrain` and attention use."""

  @functools.wraps(f)
  def traced(*args, **kw):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return f(*args, **kw)

  return traced


def current_mesh() -> jax.sharding.AbstractMesh | None:
  """The mesh of the enclosing `on_mesh`; None outside of `on_mesh`, or if the mesh has a single device."""
  mesh = jax.sharding.get_abstract_mesh()
  return None if mesh.empty or mesh.size == 1 else mesh


def mesh_of(tree: Any) -> Mesh | None:
  """The mesh over which an array of `tree` is sharded; None if there is none with several devices."""
  if jax.device_count() == 1:  # Saves a look at every array in each step of a sampler.
    return None
  shardings = (x.sharding for x in jax.tree.leaves(tree) if isinstance(x, jax.Array))
  meshes = (sharding.mesh for sharding in shardings if isinstance(sharding, NamedSharding))
  return next((mesh for mesh in meshes if isinstance(mesh, Mesh) and mesh.size > 1), None)


def replicated(mesh: Mesh, tree: Any) -> Any:
  """`tree`, with the arrays that are not on `mesh` copied to all of its devices; all processes call this."""

  def put(x):
    if not isinstance(x, (jax.Array, np.ndarray)) or mesh_of(x) == mesh:
      return x
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
      return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    return _from_host(np.asarray(x), NamedSharding(mesh, P()))

  return jax.tree.map(put, tree)


def sharded(mesh: Mesh, params: Any, declared: Any = None) -> Any:
  """Parameters sharded as in training (`state_shardings`); each process copies only its own parts.

  Args:
    mesh: the mesh.
    params: tree of arrays on the host.
    declared: tree of declared parameters.
  """
  return jax.tree.map(_from_host, params, state_shardings(mesh, params, declared))


def _from_host(x: np.ndarray, sharding: NamedSharding) -> jax.Array:
  return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def on_host(tree: Any) -> Any:
  """`tree` with all arrays as NumPy, gathered from all processes, which must all call this."""

  def fetch(x):
    if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
      x = multihost_utils.process_allgather(x, tiled=True)
    return np.asarray(jax.device_get(x)) if isinstance(x, jax.Array) else x

  return jax.tree.map(fetch, tree)


def device_kind() -> str:
  """Kind of the devices that the current trace is for."""
  mesh = jax.sharding.get_abstract_mesh()
  return jax.devices()[0].device_kind if mesh.empty else mesh.abstract_device.device_kind


def parts(mesh, axis: str | None) -> int:
  """Number of shards of a logical axis."""
  return math.prod(mesh.shape[name] for name in RULES[axis])


def spec(mesh, shape: tuple[int, ...], axes: tuple[str | None, ...]) -> P:
  """Partition spec of an array of this shape with these logical axes."""
  named = zip(shape, axes, strict=True)
  return P(*(RULES[axis] if axis and size % parts(mesh, axis) == 0 else None for size, axis in named))


def constrain(x, *axes: str | None):
  """`x` with a sharding constraint from its logical axes; unchanged without a mesh."""
  mesh = current_mesh()
  return x if mesh is None else jax.lax.with_sharding_constraint(x, spec(mesh, x.shape, axes))


def constrain_batch(x):
  """`x` with its first axis sharded like a batch; the compiler chooses the other axes."""
  mesh = current_mesh()
  if mesh is None or x.ndim < 2 or x.shape[0] % parts(mesh, "batch"):
    return x
  free = (P.UNCONSTRAINED,) * (x.ndim - 1)
  return jax.lax.with_sharding_constraint(x, P(RULES["batch"], *free))


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Sharding of an array whose first axis is the batch."""
  return NamedSharding(mesh, P(RULES["batch"]))


def path_name(path) -> str:
  """The path of a tree leaf as a/b/c."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


@runtime_checkable
class Declared(Protocol):
  """The attributes of a declared parameter that its sharding depends on (`models.parameters.Parameter`).

  Attributes:
    shape: shape, without the stacked axes.
    axes: logical axes of `shape`; () if they have no names.
    stack: leading axes of the stored array, before `shape`; they are never sharded.
  """

  shape: tuple[int, ...]
  axes: tuple[str | None, ...]
  stack: tuple[int, ...]


def declared_spec(mesh, parameter: Declared) -> P:
  """Partition spec of the array of a declared parameter.

  Named axes are sharded by RULES ("tensor" as in Megatron-LM, arXiv 1909.08053), unnamed ones by
  `plain_spec`.
  """
  shape, axes = parameter.shape, parameter.axes
  own = spec(mesh, shape, axes) if axes else plain_spec(mesh, shape)
  return P(*(None,) * len(parameter.stack), *own)


def plain_spec(mesh, shape: tuple[int, ...]) -> P:
  """Partition spec of an undeclared array.

  An array with two or more axes is sharded over the mesh axes of "width", along its longest divisible axis.
  """
  cut = [axis for axis, size in enumerate(shape) if size % parts(mesh, "width") == 0]
  if len(shape) < 2 or not cut:
    return P()
  longest = max(cut, key=lambda axis: shape[axis])
  return P(*(RULES["width"] if axis == longest else None for axis in range(len(shape))))


def state_specs(mesh, state, declared=None):
  """Partition specs of a tree of parameters, or of a state that contains trees of the same structure.

  Args:
    mesh: the mesh.
    state: tree of arrays or of their shapes.
    declared: tree of declared parameters. An array whose path ends in the path of a declared parameter has
      its spec. None: no parameter is declared.
  """
  known = {tuple(path): p for path, p in jax.tree_util.tree_leaves_with_path(declared)}
  depths = {len(path) for path in known}

  def spec_of(path, x):
    ends = (tuple(path[-depth:]) for depth in depths)
    found = next((known[end] for end in ends if end in known), None)
    return plain_spec(mesh, x.shape) if found is None else declared_spec(mesh, found)

  return jax.tree_util.tree_map_with_path(spec_of, state)


def state_shardings(mesh: Mesh, state, declared=None):
  """The result of `state_specs` as `NamedSharding`s."""
  specs = state_specs(mesh, state, declared)
  return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P))


def uncut(mesh, state, declared=None) -> Iterator[str]:
  """Names of the matrices that are replicated on every device although the mesh shards matrices."""
  specs = jax.tree.leaves(state_specs(mesh, state, declared), is_leaf=lambda x: isinstance(x, P))
  for (path, x), own in zip(jax.tree_util.tree_leaves_with_path(state), specs, strict=True):
    if len(x.shape) > 1 and not any(own) and mesh.size > mesh.shape["data"]:
      yield path_name(path)
