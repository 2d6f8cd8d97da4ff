"""Runs that train an adapter: what is frozen, what is saved, how they resume, and what they refuse."""

import json
import shutil

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.pipeline import load
from stale_jax.run import train
from tests import micro

STEPS = {"training__steps": 6, "training__checkpoint_every": 3, "ema__snapshots": 0, "training__log_every": 2}


def equal(a, b) -> bool:
  return jax.tree.all(jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b))


def config_of(base, kind, **more):
  adapter = {"name": kind} | ({"rank": 2, "targets": ("qkv", "up")} if kind == "lora" else {})
  return {**micro.config(training__init_from=str(base), **{**STEPS, **more}), "adapter": adapter}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
  """The weights file of a short run, long enough that the gates of the blocks have left 0."""
  folder = tmp_path_factory.mktemp("base")
  train(micro.config(training__steps=8, ema__snapshots=0), folder)
  return folder / "weights.safetensors"


@pytest.mark.parametrize("kind", ["lora", "difffit"])
def test_a_run_trains_its_adapter_alone_and_resumes_exactly(kind, base, tmp_path):
  config, weights = config_of(base, kind), load_weights(base)[0]
  state = train(config, tmp_path / "whole")
  assert equal(state.base, weights)
  assert not equal(state.params, state.ema)
  # The checkpoint and the optimizer hold the adapter alone.
  saved = newest_state(tmp_path / "whole")
  assert "base" not in saved
  sizes = [sum(np.size(x) for x in jax.tree.leaves(part)) for part in (saved["params"], saved["opt_state"])]
  assert sizes[1] <= 2 * sizes[0] + 100 and sizes[0] < sum(x.size for x in jax.tree.leaves(weights)) / 4
  # From the first checkpoint on.
  shutil.copytree(tmp_path / "whole", tmp_path / "other")
  shutil.rmtree(tmp_path / "other" / "checkpoints" / "6")
  again = train(config, tmp_path / "other")
  for part in ("params", "opt_state", "ema", "base"):
    assert equal(vars(again)[part], vars(state)[part]), part
  assert equal(*(load(base, adapters=[tmp_path / name]).params for name in ("whole", "other")))
  # Its folder, and its file beside the base, are the same model.
  model, beside = load(tmp_path / "whole"), load(base, adapters=[tmp_path / "whole"])
  assert equal(model.params, beside.params) and not equal(model.params, weights)
  assert beside.chosen["adapters"].endswith(":1")
  assert equal(load(base, adapters=[(tmp_path / "whole", 0)]).params, weights)
  assert (tmp_path / "whole" / "adapter.safetensors").stat().st_size < base.stat().st_size * 2
  assert not (tmp_path / "whole" / "weights.safetensors").exists()


def test_a_run_resumes_only_on_the_weights_with_which_it_began(base, tmp_path):
  params, config = load_weights(base)
  mine = tmp_path / "mine.safetensors"
  save_weights(mine, params, config, np.float32)
  run = tmp_path / "run"
  train(config_of(mine, "lora", training__steps=3), run)
  before = json.loads((run / "base.json").read_text())
  blocks = params["params"]["blocks"]
  kernel = np.array(blocks["sight_up"]["dense"]["kernel"])
  kernel[..., 0, :2] = kernel[..., 0, 1::-1]  # Two values change places: no sum of the array changes.
  blocks["sight_up"]["dense"]["kernel"] = kernel
  save_weights(mine, params, config, np.float32)
  for act in (lambda: train(config_of(mine, "lora"), run), lambda: load(run)):
    with pytest.raises(UserError, match="trained on other weights") as error:
      act()
    assert "\n" not in str(error.value)
  assert json.loads((run / "base.json").read_text()) == before
  (run / "base.json").unlink()
  with pytest.raises(UserError, match="base.json is missing"):
    load(run)


def test_an_adapter_cannot_change_when_a_run_resumes(base, tmp_path):
  train(config_of(base, "lora", training__steps=3), tmp_path)
  other = config_of(base, "lora")
  other["adapter"]["rank"] = 4
  for config in (other, config_of(base, "difffit"), {**other, "adapter": None}):
    with pytest.raises(UserError, match="adapter"):
      train(config, tmp_path)


def test_configs_that_cannot_train_an_adapter_are_refused(base):
  lora = {"name": "lora"}
  with pytest.raises(UserError, match="init_from"):
    build({**micro.config(**STEPS), "adapter": lora})
  with pytest.raises(UserError, match="snapshots"):
    build(config_of(base, "lora", ema__snapshots=4))
  with pytest.raises(UserError, match="self_forcing"):
    build({**config_of(base, "lora"), "self_forcing": {}})
  with pytest.raises(UserError, match="difft"):
    build({**config_of(base, "lora"), "adapter": {"name": "difft"}})


def test_a_kind_of_training_is_chosen_on_the_command_line(base, tmp_path):
  from tests import programs

  flags = [
    *micro.arguments(tmp_path / "run", training__init_from=base, **STEPS),
    "--config.adapter.name=lora",
  ]
  code, _, err = programs.finish("train", *flags, "--config.adapter.rank=2", "--config.training.steps=2")
  assert code == 0, err
  out = tmp_path / "merged.safetensors"
  merge = f"--merge={tmp_path / 'run'}:0.5"
  code, stdout, err = programs.finish("adapters", f"--workdir={base}", merge, f"--out={out}")
  assert code == 0 and "merged" in stdout, err
  assert equal(load(out).params, load(base, adapters=[(tmp_path / "run", 0.5)]).params)
  code, _, err = programs.finish(
    "adapters", "--workdir=digits", merge, f"--out={tmp_path / 'no.safetensors'}"
  )
  assert code == 2 and "transformer.blocks" in err and not (tmp_path / "no.safetensors").exists()
