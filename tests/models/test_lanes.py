"""Lanes: batched streams have the same results as separate ones."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Sense
from stale_jax.data import Digits
from stale_jax.models.lanes import Lane, join, lanes_of, of_clip, split
from tests.models import small

SOURCE = Digits(canvas=12, frames=small.FRAMES, patch=2)
# "depth" has places, and so another number of tokens than the other senses of its width.
DEPTH = Sense(name="depth", shape=(12, 12, 1), rate=8.0, patch=(2, 6, 6), channels=("near",))
SENSES = (*SOURCE.senses.values(), DEPTH)


def inputs():
  _, t, context = small.inputs()
  rng = np.random.default_rng(0)
  shapes = {s.name: (small.BATCH, small.FRAMES, *s.shape) for s in SENSES}
  return {n: jnp.asarray(rng.uniform(-1, 1, s), jnp.float32) for n, s in shapes.items()}, t, context


def alone(lanes, streams):
  """Like `of_clip`, with each stream in a lane of its own."""
  found = []
  for lane in lanes:
    for row, name in enumerate(lane.members):
      if name in streams:
        rows = (row,) if lane.is_stacked else ()
        found.append(Lane(stored=lane.stored, members=(name,), rows=rows, whole=not lane.is_stacked))
  return tuple(found)


@pytest.mark.parametrize(
  "fields", [{}, {"forms": "hard"}, {"turns": 2, "merge": True}, {"labels": 3, "emoji": "😂"}]
)
def test_each_stream_is_what_it_would_be_in_a_lane_of_its_own(monkeypatch, fields):
  senses = SENSES if "forms" not in fields else SENSES[:-1]  # Two forms need one grid.
  model = small.model().clone(senses=senses, **fields)
  params, (clip, t, context) = small.params(model), inputs()
  clip = {sense.name: clip[sense.name] for sense in senses}

  def run(clip):
    return jax.jit(lambda p, c: model.apply(p, c, t, context, mutable=["scores"]))(params, clip)

  some = {name: x for name, x in clip.items() if name != "touch"}
  together = [run(clip), run(some)]
  for module in ("network", "inputs", "merging"):
    monkeypatch.setattr(f"stale_jax.models.{module}.of_clip", alone)
  for got, want in zip(together, [run(clip), run(some)], strict=True):
    chex.assert_trees_all_close(got, want, atol=1e-5)


def test_lanes_hold_side_senses_whose_tokens_cover_alike():
  lanes = lanes_of("sight", {"sound": 1, "touch": 1, "depth": 2})
  assert [(lane.stored, lane.members) for lane in lanes] == [
    ("text", ("text",)),
    ("sight", ("sight",)),
    ("sides_of_1", ("sound", "touch")),
    ("depth", ("depth",)),
  ]
  assert [lane.stored for lane in lanes_of("sight", {"sound": 1, "touch": 1})][-1] == "sides"
  streams = {"text": jnp.zeros((2, 1, 3, 4)), "touch": jnp.ones((2, 5, 1, 6))}
  found = of_clip(lanes, streams)
  assert [lane.key for lane in found] == ["text", "touch"]
  params = {"sides_of_1_up": np.arange(6).reshape(2, 3), "text_up": np.arange(3)}
  np.testing.assert_array_equal(found[1].parameters(params, "up")["up"], [3, 4, 5])
  both = of_clip(lanes, {**streams, "sound": 2 * streams["touch"]})
  assert both[1].members == ("sound", "touch") and both[1].is_stacked
  again = split(both, join(both, {**streams, "sound": 2 * streams["touch"]}), ["touch", "text", "sound"])
  assert list(again) == ["touch", "text", "sound"] and again["sound"].max() == 2
  apart = of_clip(lanes, {**streams, "sound": jnp.ones((2, 5, 2, 6))})
  assert [lane.members for lane in apart] == [("text",), ("sound",), ("touch",)]
  assert not dataclasses.replace(both[1], members=("touch",)).is_stacked
