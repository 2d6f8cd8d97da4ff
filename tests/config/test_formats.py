"""Configs that runs keep: their format, those of older ones, and what a resumed run may change."""

import json

import numpy as np
import pytest

from stale_jax.checkpoints.config_file import FORMAT, read_config, upgrade, write_config
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.config import resolve
from stale_jax.errors import UserError
from stale_jax.training.run_config import check_config
from tests import micro


def test_a_config_is_written_with_its_format_and_read_back(tmp_path):
  config = resolve(micro.config())
  write_config(tmp_path / "config.json", config)
  assert json.loads((tmp_path / "config.json").read_text())["format"] == FORMAT
  assert resolve(read_config(tmp_path / "config.json")) == config
  save_weights(tmp_path / "weights.safetensors", {"params": {"x": np.ones(2)}}, config)
  assert resolve(load_weights(tmp_path / "weights.safetensors")[1]) == config


def test_files_without_a_format_are_of_the_first(tmp_path):
  old = {"senses": ["sight"], "dog": {}, "grpo": {}, "sampling": {}, "cringe": {}}
  assert upgrade(old, "x") == {"senses": ["sight"], "sampling": {}, "cringe": {}}
  with pytest.raises(UserError, match="config format 99"):
    upgrade({"format": 99}, "x")


def test_a_run_goes_on_whether_its_defaults_are_listed_or_not(tmp_path):
  partial = micro.config()
  for section, key in (("source", "rate"), ("model", "remat"), ("optimizer", "clip"), ("ema", "tracks")):
    del partial[section][key]
  for section in ("cringe", "dog", "artv", "self_forcing", "grpo", "corruption"):
    del partial[section]
  (tmp_path / "config.json").write_text(json.dumps(partial))  # As a run of the first release has it.
  check_config(resolve(micro.config(training__steps=7)), tmp_path)
  with pytest.raises(UserError, match=r"model.depth=1 \(now 2\)"):
    check_config(resolve(micro.config(model__depth=2)), tmp_path)
