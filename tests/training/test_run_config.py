"""What of a config may change when a run is resumed, what may not, and how a refusal is worded."""

import copy
import os

import pytest

from configs import digits
from stale_jax.checkpoints.config_file import write_config
from stale_jax.config import resolve
from stale_jax.config.text import flat
from stale_jax.errors import UserError
from stale_jax.training.run_config import check_config
from stale_jax.training.steps.registry import STEPS
from tests import micro

# Beside these sections, only the optimizer's name, ema.tracks and the kind of training are fixed.
FIXED = ("senses", "source", "process", "times", "model", "cringe", "first", "artv", "adapter")
FREE = (
  "source.takedown",
  "source.cache",
  "source.weights",
  "model.attention",
  "model.dtype",
  "model.remat",
  "model.scan",
  "cringe.weight",
  "artv.copy",
)
ADAPTER = {**micro.config(), "adapter": {"name": "lora"}}
ARTV = {**micro.config(), "artv": {}, "first": {"share": 0.0}}
CRINGE = {**micro.config(), "cringe": {}}
LATENTS = {
  **micro.config(),
  "source": {"name": "latents", "autoencoder": "coders/a", "source": {"name": "folder", "path": "videos"}},
}
MIXTURE = {
  **micro.config(),
  "source": {
    "name": "mixture",
    "sources": {"a": {"name": "shards", "path": "shards"}, "b": LATENTS["source"]},
    "weights": {"a": 2.0},
  },
}
KINDS = {
  "digits": micro.config(),
  "adapter": ADAPTER,
  "artv": ARTV,
  "cringe": CRINGE,
  "latents": LATENTS,
  "mixture": MIXTURE,
}


def changed(config, key, value):
  config = copy.deepcopy(config)
  *parents, last = key.split(".")
  section = config
  for parent in parents:
    section = section[parent]
  section[last] = value
  return config


def refusal(tmp_path, before, after) -> str:
  """The error of resuming a run of one config with another; "" if it may be."""
  write_config(tmp_path / "config.json", before)
  try:
    check_config(resolve(after), tmp_path)
  except UserError as error:
    return str(error)
  return ""


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_that_is_fixed_is_refused_by_name_with_both_values(tmp_path, kind):
  config = resolve(KINDS[kind])
  write_config(tmp_path / "config.json", config)
  check_config(config, tmp_path)
  fixed = 0
  for key, value in flat(config):
    if key.startswith("ema.") or key in STEPS:
      continue
    other = changed(config, key, "another")
    is_fixed = key == "optimizer.name" or key.split(".")[0] in FIXED
    names = key.split(".")
    if not is_fixed or f"{names[0]}.{names[-1]}" in FREE or "weights" in names:
      check_config(other, tmp_path)
      continue
    with pytest.raises(UserError) as error:
      check_config(other, tmp_path)
    assert f"{key}={value!r} (now 'another')" in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    fixed += 1
  assert fixed > 25


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"times__std": 3.0}, "times.std=1.5 (now 3.0)"),
    ({"times__independent": True}, "times.independent=False (now True)"),
    ({"first__share": 0.5}, "first.share=0.0 (now 0.5)"),
    ({"ema__snapshots": 0}, "ema.tracks=(0.05, 0.1) (now ())"),
    ({"senses": ("sight",)}, "senses=('sight', 'touch') (now ('sight',))"),
    ({"model__depth": 2, "model__width": 64}, "model.width=32 (now 64), model.depth=1 (now 2); "),
  ],
)
def test_what_decides_what_a_model_can_do_is_refused(tmp_path, overrides, words):
  assert words in refusal(tmp_path, micro.config(), micro.config(**overrides))


def test_sections_cannot_be_turned_on_or_off(tmp_path):
  for before, after, words in (
    (micro.config(), ARTV, "artv.noise=None (now 0.5)"),
    (CRINGE, micro.config(), "cringe.emoji='😂' (now None)"),
    (micro.config(), {**micro.config(), "grpo": {}}, "kind of training='ordinary' (now 'grpo')"),
  ):
    assert words in refusal(tmp_path, before, after)


def test_only_some_of_many_differences_are_shown(tmp_path):
  other = digits.get_config().to_dict()
  text = refusal(tmp_path, micro.config(), other)
  assert " more; " in text and len(text) < 600


@pytest.mark.parametrize(
  "overrides",
  [
    {"training__steps": 7, "training__batch": 4, "training__caption_dropout": 0.5, "seed": 7},
    {"optimizer__learning_rate": 1.0, "objective__weights": {"touch": 2.0}, "messup__drop": 0.1},
    {"sampling__steps": 50, "rollout__chunk": 2, "mesh__fsdp": 2, "ema__decay": 0.5},
    {"model__remat": "full", "model__attention": "xla"},
  ],
)
def test_how_well_and_how_fast_a_model_is_trained_may_change(tmp_path, overrides):
  assert not refusal(tmp_path, micro.config(), micro.config(**overrides))


@pytest.mark.parametrize(
  ("before", "after"),
  [
    ("videos", "videos/"),
    ("videos", "./videos"),
    ("videos", "{here}/videos"),
    ("{here}/videos", "link"),
    ("{here}/videos", "other/../videos//"),
    ("gs://bucket/videos", "gs://bucket/videos/"),
    ("gs://bucket/videos", "gs://bucket/./videos"),
  ],
)
def test_paths_of_the_same_place_are_the_same(tmp_path, monkeypatch, before, after):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "videos").mkdir()
  os.symlink(tmp_path / "videos", tmp_path / "link")
  for key in ("source.source.path", "source.autoencoder"):
    old, new = (changed(LATENTS, key, path.format(here=tmp_path)) for path in (before, after))
    assert not refusal(tmp_path, old, new)
  old, new = (
    changed(MIXTURE, "source.sources.a.path", path.format(here=tmp_path)) for path in (before, after)
  )
  assert not refusal(tmp_path, old, new)


@pytest.mark.parametrize(
  ("before", "after"),
  [("videos", "other"), ("gs://bucket/videos", "gs://bucket/video"), ("videos", "gs://videos/videos")],
)
def test_data_that_moved_is_accepted_on_demand_and_no_other_change_is(tmp_path, before, after):
  old, new = (changed(LATENTS, "source.source.path", path) for path in (before, after))
  text = refusal(tmp_path, old, new)
  assert f"source.source.path={before!r} (now {after!r})" in text
  assert "if the data have moved, add --config.training.new_data=True" in text
  assert not refusal(tmp_path, old, changed(new, "training.new_data", True))
  new = changed(new, "model.depth", 2)
  assert "--config" not in refusal(tmp_path, old, new)
  text = refusal(tmp_path, old, changed(new, "training.new_data", True))
  assert "model.depth=1 (now 2)" in text and "path" not in text
