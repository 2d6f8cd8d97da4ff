"""Weights that are not those of their config are refused in one line, wherever they are read."""

import json
import shutil

import jax
import pytest

from stale_jax.checkpoints.load import newest_ema
from stale_jax.checkpoints.posthoc_ema import excavate, find_snapshots, save_snapshots
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.config import build, build_system
from stale_jax.config.latents import load_codec
from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.pipeline import load
from stale_jax.training.initial import init_params
from tests import micro
from tests.programs import finish

AUTOENCODER = {
  "senses": ["sight"],
  "source": {"name": "digits", "canvas": 12, "frames": 5, "patch": 1},
  "model": {"name": "autoencoder", "width": 8, "channels": 3},
}


def draw(config):
  return init_params(build(config), jax.random.key(0))


@pytest.fixture(scope="module")
def params():
  return draw(micro.config())


@pytest.mark.parametrize(
  ("overrides", "difference"),
  [
    ({"model__depth": 2}, "is (1, "),
    ({"model__width": 64}, "32"),
    ({"senses": ("sight",)}, "absent in the config"),
    ({"senses": ("sight", "touch", "smell")}, "absent in the weights"),
  ],
)
def test_a_model_whose_config_is_another_is_refused(tmp_path, params, overrides, difference):
  save_weights(tmp_path / "w.safetensors", params, micro.config(**overrides))
  with pytest.raises(UserError, match=r"w.safetensors: the weights do not fit the config") as error:
    load(tmp_path / "w.safetensors")
  assert difference in str(error.value) and "\n" not in str(error.value)


def test_a_model_that_fits_is_loaded(tmp_path, params):
  for name, config, weights in (("a", micro.config(), params), ("b", AUTOENCODER, draw(AUTOENCODER))):
    save_weights(tmp_path / f"{name}.safetensors", weights, config)
    assert jax.tree.structure(load(tmp_path / f"{name}.safetensors").params) == jax.tree.structure(weights)


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_the_shapes_of_an_autoencoder_are_those_of_its_parameters(adversarial):
  config = {**AUTOENCODER, "objective": {"adversarial": adversarial}}
  shapes = jax.tree.map(lambda x: x.shape, draw(config))
  assert jax.tree.map(lambda x: x.shape, build_system(config).parameter_shapes) == shapes
  assert ("patches" in shapes["params"]) == bool(adversarial)


def test_an_autoencoder_of_latents_must_fit_too(tmp_path):
  path, source = tmp_path / "coder.safetensors", Digits(canvas=12, frames=5, patch=1)
  save_weights(path, draw(AUTOENCODER), AUTOENCODER)
  load_codec(str(path), source)
  save_weights(path, draw(AUTOENCODER), {**AUTOENCODER, "model": {**AUTOENCODER["model"], "depth": 2}})
  with pytest.raises(UserError, match="source.autoencoder=.*the weights do not fit the config"):
    load_codec(str(path), source)


def test_snapshots_of_two_models_are_not_averaged(tmp_path, params):
  save_snapshots(tmp_path, 4, {0.05: params, 0.1: params}, micro.config())
  excavate(find_snapshots(tmp_path), 0.05)
  other = micro.config(model__depth=2)
  save_snapshots(tmp_path, 8, {0.05: draw(other), 0.1: draw(other)}, other)
  with pytest.raises(UserError, match="snapshots are of different models"):
    excavate(find_snapshots(tmp_path), 0.05)


def test_a_run_whose_config_is_another_makes_no_movies_and_leaves_no_folder(micro_run, tmp_path):
  run, out = shutil.copytree(micro_run, tmp_path / "run"), tmp_path / "movies"
  config = json.loads((run / "config.json").read_text())
  (run / "config.json").write_text(json.dumps({**config, "model": {**config["model"], "depth": 2}}))
  code, said, err = finish("generate", f"--workdir={run}", "--prompt=a red seven", f"--out={out}")
  assert code == 2 and not said and err.count("\n") == 1 and not out.exists(), err
  assert f"{run}: the weights do not fit the config" in err
  with pytest.raises(UserError, match="the weights do not fit the config"):
    load(run, mesh={"fsdp": 1})
  newest_ema(run)  # The checkpoint itself is whole.


def test_weights_of_the_former_layout_need_their_senses(tmp_path):
  old = {"params": {"block_0": {"touch_up": {"dense": {"kernel": jax.numpy.ones((2, 2))}}}}}
  for senses in (["sight", "touch"], 3, []):
    save_weights(tmp_path / "old.safetensors", old, {"senses": senses})
    with pytest.raises(UserError, match="old.safetensors: the weights do not fit the config with senses="):
      load_weights(tmp_path / "old.safetensors")
