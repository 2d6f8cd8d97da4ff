"""Models on meshes of eight devices: the movies and scores of one device, with parameters in parts."""

import dataclasses

import jax
import numpy as np
import pytest

import stale_jax as stale
from stale_jax.checkpoints.weights import save_weights
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.mesh import state_shardings
from stale_jax.training.initial import init_params
from tests import micro
from tests.devices import on_devices

MESHES = (
  {"data": 1, "fsdp": 8},
  {"data": 2, "fsdp": 2, "tensor": 2},
  {"data": 1, "fsdp": 2, "context": 4, "ulysses": 2},
)
PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly", "a green one moves up quickly"]
CAUSAL = {"times__independent": True, "model__causal": True, "rollout__chunk": 2, "source__frames": 8}
ARTV = {"artv": {"mask": True}, "source__patch": 1}


def model(folder, name="model", **overrides):
  """The path of a model with random parameters, none of which is zero."""
  config = {**micro.config(**{k: v for k, v in overrides.items() if k != "artv"})}
  if "artv" in overrides:
    config["artv"] = overrides["artv"]
  params = init_params(build(config), jax.random.key(0))
  keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(params))))
  params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(next(keys), x.shape), params)
  path = folder / f"{name}.safetensors"
  save_weights(path, params, config)
  return path


def same(a, b, tolerance=2e-4):
  assert set(a) == set(b)
  for name in a:
    assert isinstance(a[name], np.ndarray)
    np.testing.assert_allclose(a[name], b[name], atol=tolerance, err_msg=name)


@on_devices(8)
def test_clips_are_those_of_one_device(tmp_path):
  path = model(tmp_path)
  want = stale.load(path).sample(PROMPTS, [0, 1, 2], batch=8, guidance=2.0)
  for mesh in MESHES:
    there = stale.load(path, mesh=mesh)
    shardings = state_shardings(
      jax.tree.leaves(there.params)[0].sharding.mesh, there.params, there.system.network.declared
    )
    assert jax.tree.map(lambda x: x.sharding, there.params) == shardings
    assert any(not x.sharding.is_fully_replicated for x in jax.tree.leaves(there.params))
    same(there.sample(PROMPTS, [0, 1, 2], batch=8, guidance=2.0), want)


@on_devices(8)
def test_rollouts_are_those_of_one_device(tmp_path):
  path = model(tmp_path, **CAUSAL)
  scripts = [((0, PROMPTS[0]), (4, PROMPTS[1])), ((0, PROMPTS[2]),)]

  def movies(of):
    chunks = of.rollout(scripts, [0, 1], frames=12, guidance=2.0, how="causal", on_change="recache")
    return {name: np.concatenate(parts, 1) for name, parts in _columns(chunks).items()}

  want = movies(stale.load(path))
  for mesh in MESHES:
    there = stale.load(path, mesh=mesh)
    same(movies(there), want)
  # Kernels, which must be told what each device has.
  for mesh in (MESHES[0], MESHES[1], {"data": 1, "fsdp": 4, "context": 2, "ulysses": 2}):
    there = stale.load(path, mesh=mesh)
    network = there.system.network.clone(attention="unfused")
    same(movies(dataclasses.replace(there, system=dataclasses.replace(there.system, network=network))), want)


def _columns(chunks):
  found = {}
  for chunk in chunks:
    for name, x in chunk.items():
      found.setdefault(name, []).append(x)
  return found


@on_devices(8)
def test_next_frames_and_windows_and_stories_are_those_of_one_device(tmp_path):
  mesh = MESHES[1]
  artv = model(tmp_path, "artv", **ARTV)
  first = model(tmp_path, "first", first__share=0.5)
  for path, make in (
    (artv, lambda of: of.sample(PROMPTS[:2], [0, 1])),
    (first, lambda of: _joined(of.rollout(PROMPTS[:2], [0, 1], frames=7))),
    (first, lambda of: {k: v.astype(np.float32) for k, v in _panels(of).items()}),
  ):
    same(make(stale.load(path, mesh=mesh)), make(stale.load(path)), 5e-4)


def _joined(chunks):
  return {name: np.concatenate(parts, 1) for name, parts in _columns(chunks).items()}


def _panels(of):
  movies = of.story(PROMPTS, 0)
  return {str(number): movie.clip["sight"] for number, movie in enumerate(movies)}


@on_devices(8)
def test_suites_measure_the_same(tmp_path):
  path = model(tmp_path)
  here, there = stale.load(path), stale.load(path, mesh=MESHES[1])
  for name in ("denoising", "captions", "likelihood"):
    (a, _), (b, _) = (SUITES[name].measure(one, clips=8, seed=0) for one in (here, there))
    for key, value in a.items():
      if isinstance(value, float):
        assert b[key] == pytest.approx(value, rel=2e-2, abs=2e-2), (name, key)


@on_devices(8)
def test_meshes_that_do_not_fit_are_one_line(tmp_path):
  path = model(tmp_path)
  with pytest.raises(UserError, match="does not fit 8 device"):
    stale.load(path, mesh={"data": 3})
  with pytest.raises(UserError, match="did you mean 'fsdp'"):
    stale.load(path, mesh={"fdsp": 8})
  with pytest.raises(UserError, match="model.heads=2 is not a multiple"):
    stale.load(path, mesh={"data": 1, "context": 8, "ulysses": 8})
  kernel = model(tmp_path, "kernel", model__attention="splash")
  with pytest.raises(UserError, match="does not support ring attention"):
    stale.load(kernel, mesh={"data": 1, "context": 8})


@on_devices(8)
def test_the_parameters_of_a_run_are_read_in_parts(tmp_path):
  from unittest import mock

  from stale_jax.checkpoints import fingerprint
  from stale_jax.run import train

  train(
    micro.config(training__steps=2, ema__snapshots=0, training__checkpoint_every=2, mesh__data=8), tmp_path
  )
  read, sums = [], fingerprint._word_sum
  with mock.patch.object(fingerprint, "_word_sum", lambda x: read.append(x.sharding) or sums(x)):
    there = stale.load(tmp_path, mesh={"data": 1, "fsdp": 8})
  # As they came from the disk, before anything could have moved them.
  assert read == [x.sharding for x in jax.tree.leaves(there.params)]
  assert sum(not sharding.is_fully_replicated for sharding in read) > 10
  here = stale.load(tmp_path)
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(there.params), jax.device_get(here.params))
