"""A training run on meshes of eight devices is that of one; and what lies where."""

import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.mesh import AXES, RULES, declared_spec, state_specs, uncut
from stale_jax.models.parameters import shapes
from stale_jax.training.optimizer import Muon
from stale_jax.training.program import training_program
from stale_jax.training.steps.train_step import needed
from tests import micro
from tests.devices import on_devices
from tests.models import small

ONE = {"data": 1}
MESHES = {
  "data": {"data": 8},
  "data, fsdp": {"data": 2, "fsdp": 4},
  "data, fsdp, tensor": {"data": 2, "fsdp": 2, "tensor": 2},
  "fsdp, ring": {"data": 1, "fsdp": 2, "context": 4},
  "fsdp, ring, heads swapped": {"data": 1, "fsdp": 2, "context": 4, "ulysses": 2},
}
EVERY = {"data": 1, "fsdp": 2, "tensor": 2, "context": 2}
KINDS = {
  "two forms": {"model__forms": "dense"},
  "a cycle that merges": {"model__depth": 2, "model__turns": 2, "model__merge": True},
  "accumulated, scanned, again": {
    "training__accumulate": 2,
    "model__depth": 2,
    "model__scan": True,
    "model__remat": "full",
  },
}
STEPS = 10
# Of Muon the smallest singular values of a gradient, which are roundoff, count as much as the greatest.
ADAMW = {"name": "adamw", "learning_rate": 1e-4, "warmup": 2, "b2": 0.99}


def program_of(mesh, **overrides):
  """(experiment, program) on as many devices as the mesh has."""
  config = micro.config(training__steps=STEPS, ema__snapshots=0, **overrides)
  experiment = build({**config, "mesh": mesh, "optimizer": ADAMW})
  count = int(np.prod([size for name, size in mesh.items() if name != "ulysses"]))
  return experiment, training_program(experiment, jax.devices()[:count])


def trained(mesh, **overrides):
  """(losses, parameters) after STEPS steps."""
  from stale_jax.data import loader

  experiment, program = program_of(mesh, **overrides)
  state, losses = program.fresh(), []
  jax.tree.map(lambda x, like: np.testing.assert_equal(x.sharding, like.sharding), state, program.state)
  settings = {"batch": 8, "text_length": experiment.network.text_length, "seed": 0}
  batches = iter(loader(experiment.data.source, experiment.data.senses, **settings))
  for _ in range(STEPS):
    batch = jax.tree.map(
      lambda x, like: jax.device_put(x, like.sharding), needed(next(batches), program.needs), program.batch
    )
    state, metrics = program.step(state, batch)
    losses.append(float(metrics["loss"]))
  return np.array(losses), jax.device_get(state.params)


def same(got, want):
  np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(got[1]), jax.tree.leaves(want[1]), strict=True):
    np.testing.assert_allclose(x, y, atol=1e-5, err_msg=jax.tree_util.keystr(path))


@on_devices(8)
def test_every_mesh_trains_like_one_device():
  one = trained(ONE)
  fresh = jax.device_get(program_of(ONE)[1].fresh().params)
  moved = [np.abs(x - y).max() for x, y in zip(jax.tree.leaves(one[1]), jax.tree.leaves(fresh), strict=True)]
  assert np.median(moved) > 1e-4
  for mesh in MESHES.values():
    same(trained(mesh), one)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@on_devices(8)
def test_every_kind_of_trunk_trains_on_a_mesh_of_all_axes_like_on_one_device(kind):
  same(trained(EVERY, **KINDS[kind]), trained(ONE, **KINDS[kind]))


@on_devices(8)
def test_no_device_holds_more_than_its_part():
  experiment, program = program_of({"data": 1, "fsdp": 4, "tensor": 2}, model__heads=4)
  compiled = program.fresh.lower().compile()
  state = program.fresh()
  held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
  whole = sum(x.nbytes for x in jax.tree.leaves(state))
  assert held < 0.3 * whole
  # Nor while it is drawn: what is computed on the way is of the size of a part, or of one matrix.
  declared = jax.tree.leaves(experiment.network.declared)
  largest = max(4 * int(np.prod(parameter.shape)) for parameter in declared)
  assert compiled.memory_analysis().temp_size_in_bytes < held + 4 * largest


def test_a_parameter_lies_as_it_is_declared():
  mesh = jax.sharding.AbstractMesh((2, 4, 2, 1, 1), AXES)
  model = small.model(forms="dense")
  declared = model.declared["params"]
  width, tensor = RULES["width"], ("tensor",)

  def lies(parameter, mesh=mesh, **fields):
    # The axes in front, of layers and streams, are never cut.
    parameter = dataclasses.replace(parameter, **fields)
    spec = declared_spec(mesh, parameter)
    assert spec[: len(parameter.stack)] == (None,) * len(parameter.stack)
    return P(*spec[len(parameter.stack) :])

  blocks, dense = declared["blocks"], {"stack": (2, 3)}
  form = blocks["forms"]["vehicular"]["sight_qkv"]["dense"]
  assert form["kernel"].stack == (2,) and form["kernel"].shape == (32, 96)
  assert lies(form["kernel"]) == P(width, tensor) == lies(form["kernel"], **dense)
  assert lies(form["bias"]) == P(tensor)
  assert lies(blocks["sight_out"]["dense"]["kernel"]) == P(tensor, width)
  assert lies(blocks["sight_down"]["dense"]["kernel"]) == P(tensor, width)
  # Devices that share a clip's tokens share the parameters, too.
  wider, up = jax.sharding.AbstractMesh((1, 4, 1, 1, 2), AXES), blocks["sight_up"]["dense"]["kernel"]
  assert lies(up, wider, shape=(24, 96))[0] == width and lies(up, wider, shape=(12, 96))[0] is None
  # Without names for its axes: the longest that divides.
  out = declared["sight_out"]["dense"]["kernel"]
  assert lies(out, shape=(32, 48)) == P(None, width) and lies(out, shape=(32, 49)) == P(width, None)
  assert lies(out, shape=(31, 49)) == P() and lies(out, shape=()) == P()
  # Moments and averages lie as their parameters, and as before declarations were read for names.
  stored = shapes(model.declared)
  moments = jax.eval_shape(Muon().build(4, model.declared).init, stored)
  specs = state_specs(mesh, {"opt": moments, "step": jax.ShapeDtypeStruct((), np.int32)}, model.declared)
  flat = jax.tree_util.tree_leaves_with_path(specs, is_leaf=lambda x: isinstance(x, P))
  found = {jax.tree_util.keystr(path): spec for path, spec in flat}
  qkv = [spec for name, spec in found.items() if "['vehicular']['sight_qkv']['dense']['kernel']" in name]
  assert qkv == [P(None, width, tensor)] and found["['step']"] == P()
  like = {
    "a": {"kernel": jax.ShapeDtypeStruct((31, 49), np.float32)},
    "b": jax.ShapeDtypeStruct((8, 8), np.float32),
  }
  assert list(uncut(mesh, like)) == ["a/kernel"]


@pytest.mark.parametrize(
  ("mesh", "words"),
  [
    ({"data": 3, "fsdp": 2}, "data=3, fsdp=2, tensor=1, context=1 does not fit 8 device"),
    ({"data": -1, "fsdp": -1}, "one of them may be -1"),
    ({"context": 4, "ulysses": 3}, "ulysses=3 must divide mesh.context=4"),
    ({"data": 1, "context": -1, "ulysses": 3}, "ulysses=3 must divide mesh.context=8"),
    ({"tensor": 8}, "model.heads=2 is not a multiple of mesh.tensor [*] mesh.ulysses = 8"),
  ],
)
def test_a_mesh_that_does_not_fit_is_named(mesh, words):
  fake = np.empty(8, object)
  fake[:] = jax.devices()[0]
  with pytest.raises(UserError, match=words):
    training_program(build({**micro.config(), "mesh": mesh}), fake)


def test_a_batch_that_does_not_divide_is_named():
  fake = np.empty(4, object)
  fake[:] = jax.devices()[0]
  with pytest.raises(UserError, match="batch=6 is not a multiple .* 4"):
    training_program(build(micro.config(training__batch=6)), fake)
