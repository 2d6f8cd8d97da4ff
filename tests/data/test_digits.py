"""The digits source: deterministic, disjoint, and true to its rules, checked by brute force."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from stale_jax.clip import intensity
from stale_jax.data import Digits, build_senses, collate, loader
from stale_jax.data.source import Source
from stale_jax.data.sources.digits import COLOURS, DIGITS, DIRECTIONS, PITCHES, SCENTS, SPEEDS, WALLS
from stale_jax.errors import UserError

SOURCE = Digits()
AHEAD = {(0, -1): "left", (0, 1): "right", (-1, 0): "top", (1, 0): "bottom"}
STEP = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def corner(frame):
  """Where the 8x8 handwriting must lie, from the picture: the only place that fits its ink in all frames."""
  ink = frame.max(-1) > 0
  rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
  return rows[0], rows[-1], columns[0], columns[-1]


@pytest.mark.parametrize("index", range(60))
def test_every_sense_follows_its_rule(index):
  example = SOURCE[index]
  labels, clip = example["labels"], {name: intensity(x) for name, x in example["clip"].items()}
  words = example["caption"].split()
  assert words == [
    "a",
    list(COLOURS)[labels["colour"]],
    DIGITS[labels["digit"]],
    "moves",
    DIRECTIONS[labels["direction"]],
    SPEEDS[labels["speed"]],
  ]
  # Simulate the bounce, a pixel at a time, from where the picture starts.
  speed, (dy, dx) = labels["speed"] + 1, STEP[words[4]]
  top, _, left, _ = corner(clip["sight"][0])
  position = np.rint(clip["balance"][0][::-1] * 8).astype(int)
  offset = np.array([top, left]) - position
  hits = np.zeros((8, 4))
  for frame in range(8):
    if frame:
      for _ in range(speed):
        if not (0 <= position[0] + dy <= 8 and 0 <= position[1] + dx <= 8):
          dy, dx = -dy, -dx
        position = position + (dy, dx)
      ahead = position + (dy, dx)
      if not ((ahead >= 0) & (ahead <= 8)).all():
        hits[
          frame, WALLS.index({(0, -1): "left", (0, 1): "right", (-1, 0): "top", (1, 0): "bottom"}[dy, dx])
        ] = 1
    top, _, left, _ = corner(clip["sight"][frame])
    assert (top, left) == tuple(position + offset), frame
    np.testing.assert_allclose(clip["balance"][frame], position[::-1] / 8, atol=1e-6)
  # Sight: one image, one colour.
  data = load_digits()
  stamp = clip["sight"][0].max(-1)
  place = np.rint(clip["balance"][0][::-1] * 8).astype(int)
  written = np.rint(16 * stamp[place[0] : place[0] + 8, place[1] : place[1] + 8])
  found = (data.images == written).all((1, 2))
  assert labels["digit"] in data.target[found]
  bright = clip["sight"][stamp[None].repeat(8, 0) > 0.9][0]
  np.testing.assert_allclose(bright / bright.max(), COLOURS[words[1]], atol=0.05)
  # The others.
  touch = hits.copy()
  for frame in range(1, 8):
    touch[frame] = np.maximum(hits[frame], touch[frame - 1] / 2)
  np.testing.assert_allclose(clip["touch"], touch, atol=1e-6)
  np.testing.assert_allclose(clip["sound"][:, -1], hits.max(1), atol=1e-6)
  pitch = np.zeros(len(PITCHES))
  pitch[labels["digit"]] = 0.8
  np.testing.assert_allclose(clip["sound"][:, :-1], np.tile(pitch, (8, 1)), atol=1e-6)
  scent = np.zeros((8, len(SCENTS)))
  scent[:, labels["colour"]] = 1 - 0.6 ** np.arange(1, 9)
  np.testing.assert_allclose(clip["smell"], scent, atol=1e-6)
  taste = np.zeros(5)
  taste[labels["digit"] % 5] = 1
  if labels["digit"] > 4:
    taste[(labels["digit"] + 1) % 5] = 0.5
  np.testing.assert_allclose(clip["taste"], np.tile(taste, (8, 1)), atol=1e-6)


def test_it_goes_the_captioned_way_for_two_frames():
  for index in range(300):
    example = SOURCE[index]
    path = example["clip"]["balance"][:, ::-1] * 4
    moved = np.rint(np.diff(path, axis=0)[:2])
    want = np.array(STEP[DIRECTIONS[example["labels"]["direction"]]]) * (example["labels"]["speed"] + 1)
    np.testing.assert_array_equal(moved, [want, want])


def test_random_access_is_deterministic_in_seed_and_index():
  again, other = Digits(), Digits(seed=1)
  for index in (7, 0, 12345):
    for name, x in SOURCE[index]["clip"].items():
      np.testing.assert_array_equal(x, again[index]["clip"][name])
  assert any(SOURCE[i]["caption"] != other[i]["caption"] for i in range(5))
  assert len({SOURCE[i]["caption"] for i in range(200)}) > 100


def test_train_and_test_handwriting_are_disjoint_and_all_of_it():
  from stale_jax.data.sources.digits import handwriting

  train, test = handwriting("train")[0], handwriting("test")[0]
  assert len(train) + len(test) == 1797 and len(test) == 359
  seen = {image.tobytes() for image in train}
  assert not any(image.tobytes() in seen for image in test)


def test_the_loader_goes_on_exactly_where_it_was():
  senses = build_senses(("sight", "touch"), SOURCE)
  make = lambda: iter(loader(SOURCE, senses, batch=4, text_length=48, seed=3))  # noqa: E731
  one = make()
  first = [next(one) for _ in range(3)]
  state = one.get_state()
  rest = [next(one) for _ in range(3)]
  other = make()
  other.set_state(state)
  for a, b in zip(rest, [next(other) for _ in range(3)], strict=True):
    np.testing.assert_array_equal(a.index, b.index)
    np.testing.assert_array_equal(a.clip["sight"], b.clip["sight"])
  indices = np.concatenate([batch.index for batch in first + rest])
  assert len(set(indices.tolist())) == 24


def test_each_process_reads_its_rows_of_the_same_batches():
  source, senses = Few(), build_senses(("touch",), SOURCE)
  make = lambda rows: iter(loader(source, senses, batch=8, text_length=8, seed=0, rows=rows))  # noqa: E731
  whole, halves = make(None), [make(rows) for rows in np.arange(8).reshape(2, 4)]
  # Across three epochs; in the middle two processes become three, by what the first of two had saved.
  seen = []
  for step in range(8):
    if step == 4:
      state = halves[0].get_state()
      assert state == whole.get_state()
      halves = [make(np.array(rows)) for rows in ([0, 1], [2, 3, 4], [5, 6, 7])]
      for half in halves:
        half.set_state(state)
    want = next(whole)
    parts = [next(half) for half in halves]
    np.testing.assert_array_equal(np.concatenate([part.index for part in parts]), want.index)
    np.testing.assert_array_equal(np.concatenate([part.clip["touch"] for part in parts]), want.clip["touch"])
    seen += want.index.tolist()
  epochs = np.array(seen[:60]).reshape(3, 20)
  assert (np.sort(epochs) == np.arange(20)).all() and not (epochs[0] == epochs[1]).all()


class Few(Source):
  """The first twenty examples."""

  frames = SOURCE.frames
  senses = SOURCE.senses

  def __len__(self):
    return 20

  def __getitem__(self, index):
    return SOURCE[index]


def test_missing_senses_are_marked_and_wrong_shapes_named():
  senses = build_senses(("sight", "touch"), SOURCE)
  examples = [SOURCE[0], SOURCE[1]]
  del examples[1]["clip"]["touch"]
  batch = collate(examples, senses, 48)
  assert batch.context.valid["touch"].tolist() == [[True] * 8, [False] * 8]
  assert batch.context.valid["sight"].all()
  examples[0]["clip"]["sight"] = examples[0]["clip"]["sight"][:, :4]
  with pytest.raises(UserError, match=r"example 0: sight has shape \(8, 4, 16, 3\)"):
    collate(examples, senses, 48)


def test_unknown_senses_and_sizes_are_named():
  with pytest.raises(UserError, match="'smell'"):
    build_senses(("smel",), SOURCE)
  with pytest.raises(UserError, match="canvas=10"):
    Digits(canvas=10)
  with pytest.raises(UserError, match="frames=6 must be a multiple of source.patch=4"):
    Digits(frames=6)


def test_a_background_stands_still_behind_the_digit_and_changes_nothing_else():
  plain, lit = (Digits(canvas=12, frames=6, patch=1, background=b) for b in (0.0, 0.4))
  for index in range(5):
    a, b = plain[index], lit[index]
    assert a["caption"] == b["caption"]
    for name in a["clip"]:
      assert name == "sight" or (a["clip"][name] == b["clip"][name]).all()
    dark, sight = intensity(a["clip"]["sight"]), intensity(b["clip"]["sight"])
    nothing = dark.max(-1) == 0
    behind = np.stack([sight[f][nothing[f]].mean() for f in range(6)])
    assert 0.15 < behind.mean() < 0.25 and sight[nothing].max() <= 0.4
    # Where no digit is before or after, every pixel is what it was; more frames go on with the same ones.
    for f in range(5):
      both = nothing[f] & nothing[f + 1]
      np.testing.assert_array_equal(sight[f][both], sight[f + 1][both])
    np.testing.assert_array_equal(
      Digits(canvas=12, frames=9, patch=1, background=0.4)[index]["clip"]["sight"][:6], b["clip"]["sight"]
    )
    # Full ink hides it.
    ink = dark.max(-1) > 0.999
    np.testing.assert_allclose(sight[ink], dark[ink], atol=2e-3)


def test_a_fingerprint_tells_what_differs_from_the_defaults():
  assert Digits(canvas=16, split="test").fingerprint == {"name": "digits"}
  assert Digits(canvas=12, frames=4).fingerprint == {"name": "digits", "canvas": 12, "frames": 4}
