"""The schema of configs: complete, documented, with the values of the first release."""

import dataclasses
import importlib
import json
import math
import typing
from pathlib import Path

import pytest

from stale_jax.config import default_config, resolve, resolve_for
from stale_jax.config.schema import AUTOENCODER, ROOT, sections_of
from stale_jax.config.text import differences, lines
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.launching import Run
from stale_jax.sections import only

OLD = json.loads((Path(__file__).parent / "old_configs.json").read_text())
SECTIONS = {
  **sections_of({}),
  **{f"autoencoder's {k}": v for k, v in AUTOENCODER.items()},
  "root": ROOT,
  "run": only(Run),
}
VARIANTS = [(name, variant) for name, section in SECTIONS.items() for variant in section.variants]


def load(config: str) -> dict:
  name, _, variant = config.partition(":")
  return importlib.import_module(f"configs.{name}").get_config(*([variant] if variant else [])).to_dict()


@pytest.mark.parametrize("config", OLD)
def test_configs_have_the_values_of_the_first_release(config):
  old = OLD[config]
  if old.get("dog", {}).get("weight") == 0:
    del old["dog"]
  if config == "latent_digits":  # Then a path, which only a checkout has.
    old["source"]["autoencoder"] = "autoencoder"
  if config.startswith("stale_"):  # Then the kernel for TPUs, now that of the device.
    old["model"]["attention"] = "auto"
  assert resolve(old) == resolve(load(config))


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_key_has_a_meaning_and_every_number_a_range(name, variant):
  section = SECTIONS[name]
  docs = section.docs(variant)
  for key, field in section.fields(variant).items():
    assert docs.get(key), f"{name}.{key} of {variant} has no documentation"
    kinds = {field.type, *typing.get_args(field.type)}
    if {int, float} & kinds and key not in section.nested:
      assert "range" in field.metadata, f"{name}.{key} of {variant} has no range"


@pytest.mark.parametrize("config", [*OLD, "base:folder"])
def test_the_printed_tree_is_python_that_says_the_same(config):
  tree = resolve(load(config))
  made = type("Namespace", (dict,), {"__getattr__": dict.__getitem__, "__setattr__": dict.__setitem__})
  sections = {key: made() for key, value in tree.items() if isinstance(value, dict)}
  for outer, inner in (("source", "source"), ("objective", "weights")):
    if isinstance(tree[outer].get(inner), dict):
      sections[outer][inner] = made()
  space = {"config": made(sections)}
  exec("\n".join(lines(tree)), space)
  printed = {key: dict(value) if isinstance(value, dict) else value for key, value in space["config"].items()}
  assert resolve(json.loads(json.dumps(printed))) == tree


def test_differences_are_those_keys():
  micro, digits = resolve(load("digits_micro")), resolve(load("digits"))
  assert not differences(digits, digits)
  said = differences(digits, micro)
  assert "-config.model.width = 128" in said and "+config.model.width = 96" in said
  cringe = differences(digits, resolve(load("digits_cringe")))
  assert cringe == ["-config.cringe = None", "+config.cringe.weight = 0.1", "+config.cringe.emoji = '😂'"]


@pytest.mark.parametrize(
  ("overrides", "changed"),
  [
    ({"training.processes": "2"}, {}),
    ({"model.remat": "dots"}, {}),
    ({"cringe.weight": "0.1"}, {"cringe": {"weight": 0.1, "emoji": "😂"}}),
    (
      {"self_forcing.every": "3"},
      {
        "self_forcing": resolve(load("digits_self_forcing"))["self_forcing"]
        | {"every": 5, "guidance": 3.0, "interval": (0.0, 1.0)}
      },
    ),
    ({"objective.weights.smoke": "2"}, {}),
  ],
)
def test_every_key_is_there_to_be_set(overrides, changed):
  tree = resolve_for(load("digits"), overrides)
  for path in overrides:
    node = tree
    for key in path.split("."):
      node = node[key]
  for name, section in changed.items():
    assert tree[name] == section


def test_another_variant_keeps_the_keys_it_shares():
  tree = resolve_for(
    load("digits") | {"optimizer": {"name": "muon", "momentum": 0.5, "b2": 0.5}}, {"optimizer.name": "adamw"}
  )
  assert tree["optimizer"]["b2"] == 0.5 and "momentum" not in tree["optimizer"]
  source = resolve_for(load("folder"), {"source.name": "shards", "source.takedown": "x"})["source"]
  assert source["height"] == 32 and "held_out" not in source
  coder = resolve_for(load("digits_micro"), {"model.name": "autoencoder"})
  assert coder["objective"]["name"] == "reconstruction" and "process" not in coder
  assert coder["training"]["steps"] == 4000


@pytest.mark.parametrize(
  ("path", "words"),
  [
    ("model.widht", "unknown config key model.widht: did you mean 'width'"),
    ("trainign.steps", "unknown config key config.trainign: did you mean 'training'"),
    ("cringe.wieght", "unknown config key cringe.wieght: did you mean 'weight'"),
    ("training.steps.more", "training.steps has no keys"),
    ("optimizer.name", "unknown optimizer.name 'x'"),
  ],
)
def test_a_key_that_is_none_names_the_nearest(path, words):
  with pytest.raises(UserError, match=words):
    resolve_for(load("digits"), {path: "x"})


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"training": {"steps": 0}}, "training.steps=0: at least 1 is needed"),
    ({"training": {"steps": 1.5}}, "training.steps=1.5: a whole number is needed"),
    ({"training": {"keep": True}}, "training.keep=True: a whole number is needed"),
    ({"training": {"caption_dropout": 1}}, "must be at least 0 and less than 1"),
    ({"sampling": {"interval": (0.5,)}}, "a tuple of 2 numbers is needed"),
    ({"sampling": {"shift": math.inf}}, "sampling.shift=inf must lie from 0.001 to 1000"),
    ({"model": {"remat": "dot"}}, "unknown model.remat 'dot': did you mean 'dots'"),
    ({"objective": {"weights": {"touch": "x"}}}, "a dictionary of numbers is needed"),
    ({"seed": -1}, "seed=-1 must lie from 0"),
    ({"process": {"name": "reflected", "sigma_min": math.nan}}, "process.sigma_min=nan"),
  ],
)
def test_values_are_checked_whatever_sets_them(changes, words):
  with pytest.raises(UserError, match=words):
    resolve({**load("digits_micro"), **changes})


def test_whole_numbers_and_lists_become_floats_and_tuples():
  tree = resolve({**load("digits_micro"), "sampling": {"guidance": 3, "interval": [0, 1]}})
  assert repr(tree["sampling"]["guidance"]) == "3.0" and tree["sampling"]["interval"] == (0.0, 1.0)


def test_a_number_is_checked_when_the_object_is_made():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Thing:
    size: int = number(3, least=2, most=4)

    def __post_init__(self):
      check_fields(self, "thing")

  assert Thing(size=4).size == 4
  for size in (1, 5, 2.5, "3"):
    with pytest.raises(UserError, match="thing.size"):
      Thing(size=size)


def test_a_required_key_is_a_placeholder_until_it_is_set():
  config = default_config(source="shards", process="uniform_flow")
  assert config.source.path is None
  config.source.path = "somewhere"
  assert resolve(config.to_dict())["source"]["path"] == "somewhere"
