"""The training step as one jitted program for a mesh.

The training loop compiles and runs it; `planning` compiles it ahead of time, without any device.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from stale_jax.clip import Batch
from stale_jax.compilation import compiler_options
from stale_jax.errors import UserError
from stale_jax.memory import device_memory, host_memory
from stale_jax.mesh import batch_sharding, check_heads, on_mesh, parts, state_shardings
from stale_jax.training.experiment import Experiment
from stale_jax.training.initial import example_batch
from stale_jax.training.state import State
from stale_jax.training.steps.train_step import Needs, needed


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingProgram:
  """The jitted functions of a run, with the shapes and shardings of their arguments.

  Attributes:
    mesh: the mesh of devices.
    state: shapes and shardings of the state.
    batch: shapes and shardings of the global batch, over all processes. If the source has several buckets,
      these are the shapes of the first.
    needs: parts of a batch that the step reads.
    fresh: () -> the initial state. It is created sharded: no device ever holds all of it.
    begin_from: parameters -> the initial state with these parameters.
    step: (state, batch) -> (state, metrics). It compiles once per bucket, and donates its state argument.
  """

  mesh: Mesh
  state: State
  batch: Batch
  needs: Needs
  fresh: Callable[[], State]
  begin_from: Callable[[Any], State]
  step: Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]


def training_program(experiment: Experiment, devices=None) -> TrainingProgram:
  """Builds the program of `experiment` on a mesh of `devices`.

  Args:
    experiment: what to train.
    devices: all devices by default. For ahead-of-time compilation, the devices of a topology.

  Raises:
    UserError: the batch or the attention heads do not fit the mesh, the state exceeds the memory of the
      devices that are here, or the experiment cannot be trained.
  """
  training = experiment.training
  mesh = training.mesh.build(devices)
  check_layout(experiment, mesh)
  train_step = training.step.build(experiment)

  def fresh() -> State:
    return train_step.init(jax.random.key(training.seed))

  def begin_from(params) -> State:
    state = train_step.begin_from(fresh(), params)
    # The step donates every array, so no two arrays of the state may share memory.
    return jax.tree.map(jnp.copy, state)

  shapes = jax.eval_shape(fresh)
  shardings = state_shardings(mesh, shapes, experiment.network.declared)
  state = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
  if devices is None:
    _check_state_fits(state, mesh)
  platform, deterministic = mesh.devices.flat[0].platform, training.settings.deterministic
  jit = functools.partial(jax.jit, compiler_options=compiler_options(platform, deterministic=deterministic))
  return TrainingProgram(
    mesh=mesh,
    state=state,
    batch=needed(batch_shapes(experiment, mesh), train_step.needs),
    needs=train_step.needs,
    fresh=jit(fresh, out_shardings=shardings),
    begin_from=jit(begin_from, out_shardings=shardings),
    step=jit(on_mesh(mesh, train_step.step), donate_argnums=0, out_shardings=(shardings, None)),
  )


def batch_shapes(experiment: Experiment, mesh: Mesh) -> Batch:
  """Shapes and shardings of a global batch with all its parts."""
  size, sharding = experiment.training.settings.batch, batch_sharding(mesh)

  def shape(x):
    return jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype, sharding=sharding)

  return jax.tree.map(shape, example_batch(experiment))


def check_layout(experiment: Experiment, mesh: Mesh) -> None:
  """Raises UserError if the mesh cannot split the batch or heads evenly, or a batch exceeds the memory."""
  settings = experiment.training.settings
  ways = parts(mesh, "batch") * settings.accumulate
  if settings.batch % ways:
    raise UserError(
      f"training.batch={settings.batch} is not a multiple of mesh.data * mesh.fsdp * training.accumulate = "
      f"{ways}."
    )
  _check_batch_fits(experiment, mesh)
  if experiment.is_autoencoder:
    return
  check_heads(experiment.network.heads, mesh)


def _check_batch_fits(experiment: Experiment, mesh: Mesh) -> None:
  """Raises UserError if the rows of a batch that this process reads cannot fit into the memory of the host.

  A value takes at least a byte. Devices of other processes, and those of an ahead-of-time plan, do not count.
  """
  size, source = experiment.training.settings.batch, experiment.data.source.largest
  where = batch_sharding(mesh).addressable_devices_indices_map((size,)).values()
  rows = sum(stop - start for start, stop in {part.indices(size)[:2] for (part,) in where})
  senses = [source.senses[sense.name] for sense in experiment.data.senses]
  needed_bytes = rows * source.frames * sum(math.prod(sense.shape) for sense in senses)
  if needed_bytes > (there := host_memory()):
    raise UserError(
      f"training.batch={size}: the {rows} clips that this process reads for a batch need at least "
      f"{needed_bytes:,} bytes, and its machine has {there:,}; make the batch or the clips smaller."
    )


def _check_state_fits(state: State, mesh: Mesh) -> None:
  """Raises UserError if the parts of the state on a device cannot fit into its memory."""
  leaves, there = jax.tree.leaves(state), device_memory(mesh.local_devices[0])
  needed_bytes = sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)
  if needed_bytes > there:
    raise UserError(
      f"the model with its optimizer and averages needs {needed_bytes:,} bytes on each device, which has "
      f"{there:,}; make the model smaller, or shard it over more devices with mesh.fsdp or mesh.tensor."
    )
