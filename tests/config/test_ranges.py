"""Every number of the schema has a range; values outside of it, and of other shapes, are one line."""

import math
from collections.abc import Iterator, Mapping

import pytest

from stale_jax.config import build, resolve
from stale_jax.config.schema import AUTOENCODER, ROOT, sections_of
from stale_jax.errors import UserError
from stale_jax.fields import fits, is_tuple, parts_of, without_none
from stale_jax.launching import Run
from stale_jax.sections import Section, only
from tests import micro

ABSURD = {int: (10**12, -(10**12)), float: (math.nan, math.inf, -math.inf, 1e12, -1e12)}


def leaf(kind) -> type | None:
  """int or float if `kind` is a number, or a tuple or mapping of numbers; else None."""
  kind = without_none(kind)
  if kind in ABSURD:
    return kind
  if is_tuple(kind):
    return leaf(parts_of(kind)[0])
  return leaf(parts_of(kind)[1]) if parts_of(kind)[:1] == (str,) else None


def of_kind(kind, value):
  """A value of the type `kind` whose numbers are all `value`."""
  kind = without_none(kind)
  if is_tuple(kind):
    parts = [part for part in parts_of(kind) if part is not ...]
    return tuple(of_kind(part, value) for part in parts)
  return value if kind in ABSURD else {"sight": value}


def walk(config: Mapping, section: Section, path: tuple[str, ...]) -> Iterator[tuple]:
  """(config with the section's variant, path of the key, field) of each number in a section."""
  for variant in section.variants:
    fields = section.fields(variant)
    stated = {"name": variant} if variant else {}
    stated |= {key: {"name": "digits"} for key in section.nested if key in fields}
    for key, field in fields.items():
      if key in section.nested:
        yield from walk(config, section.nested[key], (*path, key))
      elif key in section.each:
        yield from walk(config, section.each[key], (*path, key, "part"))
      elif leaf(field.type):
        yield stated, (*path, key), field


def with_value(config: dict, path: tuple[str, ...], stated: Mapping, value) -> dict:
  """`config` whose section at `path[:-1]` is `stated` and the key `path[-1]` with this value."""
  *outer, last = path
  inner = {**stated, last: value}
  parents = {"source": "latents", "sources": "mixture"}
  for depth in range(len(outer) - 1, 0, -1):
    name = parents.get(outer[depth])
    inner = {outer[depth]: inner, **({"name": name} if name else {})}
  return {**config, outer[0]: inner} if outer else {**config, last: value}


def every_number() -> Iterator[tuple]:
  denoiser = micro.config()
  coder = {key: denoiser[key] for key in AUTOENCODER} | {"senses": ("sight",), "objective": {}}
  coder["model"] = {"name": "autoencoder"}
  for config, sections in ((denoiser, sections_of(denoiser)), (coder, AUTOENCODER)):
    for name, section in sections.items():
      for stated, path, field in walk(config, section, (name,)):
        if name == "model" and (stated["name"] == "autoencoder") != (config is coder):
          continue  # Of the other network's config.
        yield config, stated, path, field
  for key, field in ROOT.fields("").items():
    if leaf(field.type):
      yield denoiser, {}, (key,), field


NUMBERS = list(every_number())


def test_the_walk_sees_every_section():
  seen = {path[0] for _, _, path, _ in NUMBERS}
  assert seen == {*ROOT.fields(""), *sections_of({})} - {"senses"} and len(NUMBERS) > 250
  assert any("part" in path for _, _, path, _ in NUMBERS)
  assert any(path[:2] == ("source", "source") for _, _, path, _ in NUMBERS)


def test_every_number_has_a_range_and_what_is_outside_is_one_line_with_key_and_value():
  for config, stated, path, field in NUMBERS:
    key = ".".join(path)
    assert "range" in field.metadata, key
    for value in ABSURD[leaf(field.type)]:
      assert value not in field.metadata["range"], f"{key}={value}"
      wrong = of_kind(field.type, value)
      assert fits(wrong, field.type), f"{key}={wrong}"
      with pytest.raises(UserError) as caught:
        build(with_value(config, path, stated, wrong))
      message = str(caught.value)
      assert f"{key}={wrong}" in message and "\n" not in message, message


@pytest.mark.parametrize("value", ABSURD[int])
@pytest.mark.parametrize("key", ["slices", "restarts"])
def test_the_numbers_of_a_launch_have_ranges_too(key, value):
  with pytest.raises(UserError, match=f"run.{key}={value} must|run.{key}={value}: at least"):
    only(Run).complete({key: value}, "run")


@pytest.mark.parametrize("value", ABSURD[float])
def test_and_so_have_its_hours(value):
  with pytest.raises(UserError, match="run.hours="):
    only(Run).complete({"hours": value}, "run")


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"senses": ()}, r"senses=\(\): name at least one sense"),
    ({"senses": ("sight", "sight")}, r"senses=\('sight', 'sight'\): name at least one sense, and each once"),
    ({"training": 5}, "training=5: a section is needed"),
    ({"model": 5}, "model=5: a section is needed"),
    ({"cringe": 0}, "cringe=0: a section is needed"),
    ({"source": {"name": ["digits"]}}, r"unknown source.name \['digits'\]"),
    ({"source": {"name": "latents", "source": 5, "autoencoder": "autoencoder"}}, "source.source=5: a"),
    ({"source": {"name": "mixture", "sources": {"a": 5}}}, "source.sources.a=5: a section is needed"),
    ({"source": {"name": "folder", "path": "x", "buckets": (8, 32, 32)}}, r"buckets=\(8, 32, 32\): a"),
    ({"source": {"name": "folder", "path": "x", "buckets": ((8.5, 32, 32),)}}, "of 3 whole numbers"),
    ({"source": {"name": "folder", "path": "x", "buckets": ("xyz",)}}, "of 3 whole numbers"),
  ],
)
def test_values_of_another_shape(changes, words):
  with pytest.raises(UserError, match=words):
    build({**micro.config(), **changes})


def test_lists_of_lists_are_tuples_of_tuples():
  source = {"name": "folder", "path": "x", "buckets": [[8, 32, 32], [1, 64, 64]]}
  tree = resolve({**micro.config(), "source": source})
  assert tree["source"]["buckets"] == ((8, 32, 32), (1, 64, 64))
