"""The cartoon source: deterministic, of any size and rate, with the combinations that it should have."""

import dataclasses
import itertools

import cv2
import numpy as np
import pytest

from stale_jax.clip import floats
from stale_jax.data import Cartoons, build_senses, build_source, loader
from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.data.sources.cartoons.labels import (
  LABELS,
  NO_PROP,
  PROP,
  held_out,
  held_out_pair,
  held_out_triple,
)
from stale_jax.errors import UserError

SOURCE = Cartoons()


def name(labels, factor):
  return LABELS[factor][labels[factor]]


def test_random_access_is_deterministic_in_seed_split_and_index():
  again = Cartoons()
  for index in (7, 0, 123_456):
    one, two = SOURCE.stored(index), again.stored(index)
    assert one["caption"] == two["caption"] == SOURCE.caption(index) and one["labels"] == two["labels"]
    for sense, values in one["clip"].items():
      np.testing.assert_array_equal(values, two["clip"][sense])
  others = Cartoons(seed=1), SOURCE.test_split()
  for other in others:
    assert [SOURCE.caption(i) for i in range(20)] != [other.caption(i) for i in range(20)]
  captions = [SOURCE.caption(i) for i in range(300)]
  assert len(set(captions)) > 290


def test_no_clip_of_one_split_is_in_the_other():
  few = {"characters": ("cop",), "actions": ("waves",), "scenes": ("city",), "combinations": "all"}
  train, test = ([Cartoons(split=split, **few).draw(i)[2] for i in range(400)] for split in ("train", "test"))
  assert not {take.scroll for take in train} & {take.scroll for take in test}


def test_a_clip_has_all_senses_of_the_stated_shapes():
  source = Cartoons(height=32, width=48, frames=6, patch=2, spatial_patch=4)
  example, stored = source[3], source.stored(3)
  assert set(example["clip"]) == set(source.senses) and example["index"] == 3
  for name_, sense in source.senses.items():
    values = example["clip"][name_]
    assert values.shape == (6, *sense.shape) and values.dtype == np.float32
    assert np.abs(values).max() <= 1
  assert source.senses["sight"].patch == (2, 4, 4) and source.senses["touch"].patch == (2,)
  assert stored["clip"]["sight"].dtype == np.uint8
  np.testing.assert_array_equal(floats(stored["clip"])["sight"], example["clip"]["sight"])


def test_the_loader_reads_them():
  senses = build_senses(("sight", "sound"), SOURCE)
  batch = next(iter(loader(SOURCE, senses, batch=2, text_length=161, seed=0)))
  assert batch.clip["sight"].shape == (2, 16, 64, 64, 3) and batch.labels["skin"].shape == (2, 5)


def test_a_missing_second_figure_is_unknown():
  pairs = Cartoons(actions=tuple(PAIR)).draw(0)[0]
  alone = Cartoons(actions=("walks",)).draw(0)[0]
  assert {"character2", "colour2"} <= set(pairs) and not {"character2", "colour2"} & set(alone)


@pytest.mark.parametrize("index", range(8))
def test_a_higher_rate_shows_the_same_motion_more_often(index):
  often = Cartoons(rate=16.0, frames=32).stored(index)["clip"]["sight"]
  np.testing.assert_array_equal(often[::2], SOURCE.stored(index)["clip"]["sight"])


def test_a_smaller_picture_shows_the_same_world():
  small = Cartoons(height=32, width=32, spatial_patch=4)
  near, far = [], []
  for index in range(12):
    clip, large = small.stored(index)["clip"]["sight"], SOURCE.stored(index)["clip"]["sight"]
    shrunk = np.stack([cv2.resize(x, (32, 32), interpolation=cv2.INTER_AREA) for x in large]).astype(float)
    near.append(np.abs(clip - shrunk).mean())
    far.append(np.abs(clip - shrunk[:, :, ::-1]).mean())
    assert small.caption(index) == SOURCE.caption(index)
  assert max(near) < 12 and np.mean(near) < np.mean(far) / 3


def test_a_wider_picture_shows_more_to_the_sides_and_a_higher_one_more_above():
  world = {"actions": ("waves",), "scenes": ("museum",), "combinations": "all"}
  square = Cartoons(**world)
  wide, high = Cartoons(width=96, **world), Cartoons(height=96, **world)
  for index in range(4):
    clip = square.stored(index)["clip"]["sight"]
    inside = wide.stored(index)["clip"]["sight"][:, :, 16:-16]
    below = high.stored(index)["clip"]["sight"][:, 32:]
    # Pillars begin at the top of the picture. OpenCV rounds a little differently at the edges of its canvas.
    for part, same in ((inside, clip), (below[:, 10:], clip[:, 10:])):
      difference = np.abs(part.astype(int) - same)
      assert difference.max() <= 16 and (difference > 0).mean() < 1e-3


def test_longer_clips_go_on():
  source = Cartoons(frames=48, height=16, width=16, combinations="all")
  for action in set(LABELS["action"]) - {"from_car"}:
    clip = (
      dataclasses.replace(source, actions=(action,), scenes=("city",))
      .stored(0)["clip"]["sight"]
      .astype(float)
    )
    changes = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
    assert changes[-16:].max() > 0.2, action


def test_which_labels_go_together():
  for index in range(600):
    labels = SOURCE.draw(index)[0]
    action = name(labels, "action")
    assert (action in PAIR) == ("character2" in labels) == ("colour2" in labels)
    if action in PAIR:
      assert labels["character2"] != labels["character"]
    if action in NO_PROP:
      assert name(labels, "prop") == "none"
    if action in PROP:
      assert name(labels, "prop") != "none"
    if action == "chases":
      assert name(labels, "camera") == "moves"
  walks = Cartoons(actions=("walks",))
  props = [walks.draw(i)[0]["prop"] for i in range(300)]
  assert set(props) == set(range(10)) and 0.3 < props.count(0) / 300 < 0.5


def test_held_out_combinations_are_drawn_only_if_asked_for():
  def draw(which, count):
    source = Cartoons(combinations=which)
    return [source.draw(i)[0] for i in range(count)]

  assert not any(map(held_out, draw("seen", 2000)))
  assert all(map(held_out, draw("unseen", 300)))
  share = np.mean([held_out(labels) for labels in draw("all", 2000)])
  assert 0.15 < share < 0.32


def test_every_pair_of_factors_is_seen():
  sizes = [len(LABELS[factor]) for factor in ("character", "action", "scene")]
  triples = list(itertools.product(*map(range, sizes)))
  seen = [triple for triple in triples if not held_out_triple(*triple)]
  assert len(triples) - len(seen) == 90
  for one, two in itertools.combinations(range(3), 2):
    assert len({(t[one], t[two]) for t in seen}) == sizes[one] * sizes[two]
  worn = [(c, k) for c in range(12) for k in range(6) if not held_out_pair(c, k)]
  assert len(worn) == 64
  assert {c for c, _ in worn} == set(range(12)) and {k for _, k in worn} == set(range(6))
  drawn = {(labels["character"], labels["colour"]) for labels in (SOURCE.draw(i)[0] for i in range(2500))}
  assert drawn == set(worn)


def test_a_smaller_world_keeps_the_classes():
  world = {"characters": ("wizard", "robot"), "actions": ("runs", "gives"), "scenes": ("desert",)}
  source = Cartoons(**world)
  assert source.labels == SOURCE.labels
  for index in range(100):
    labels = source.draw(index)[0]
    assert name(labels, "character") in world["characters"] and name(labels, "scene") == "desert"
    assert name(labels, "action") in world["actions"]
    if "character2" in labels:
      assert {name(labels, "character"), name(labels, "character2")} == set(world["characters"])
  lone = Cartoons(characters=("robot",), actions=("gives",)).draw(0)[0]
  assert name(lone, "character2") == "robot"


def test_invalid_settings_are_named():
  for fields, message in (
    ({"spatial_patch": 7}, "source.spatial_patch=7 must divide source.height=64 and source.width=64"),
    ({"frames": 9, "patch": 2}, "frames=9 must be a multiple of source.patch=2"),
    ({"characters": ("copp",)}, "unknown source.characters 'copp': did you mean 'cop'"),
    ({"combinations": "some"}, "unknown source.combinations 'some'"),
    ({"characters": ("burglar",), "actions": ("walks",), "scenes": ("museum",)}, "leaves no clip"),
  ):
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as error:
      build_source({"name": "cartoons", **fields})
    assert "\n" not in str(error.value)


def test_a_world_of_held_out_triples_alone_has_no_seen_clip():
  world = {"characters": ("burglar",), "actions": ("walks",), "scenes": ("museum",)}
  assert held_out_triple(0, 0, 0)
  assert all(held_out(Cartoons(combinations="unseen", **world).draw(i)[0]) for i in range(20))
  with pytest.raises(UserError, match="source.combinations='seen' leaves no clip"):
    Cartoons(**world)


def test_a_fingerprint_tells_what_differs_from_the_defaults():
  assert Cartoons(split="test").fingerprint == {"name": "cartoons"}
  assert Cartoons(height=32, actions=("walks",)).fingerprint == {
    "name": "cartoons",
    "height": 32,
    "actions": ("walks",),
  }
