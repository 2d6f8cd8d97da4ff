"""Clips of several sizes, and single frames among them: which video is cut to which, and when each comes."""

import collections
import json

import numpy as np
import pytest

from stale_jax.data import build_senses, build_source, loader
from stale_jax.data.buckets import Bucket, assign
from stale_jax.errors import UserError
from tests.data.clips import encode

# (frames, height, width): across and upright, the first of these also twice as long.
BUCKETS = ((4, 16, 24), (8, 16, 24), (4, 24, 16))
# Name -> (height, width, frames at 10 a second); of the last nothing can be cut.
VIDEOS = {
  "wide": (48, 72, 20),
  "wider": (36, 64, 20),
  "short": (48, 70, 12),
  "tall": (64, 40, 20),
  "square_1": (48, 48, 10),
  "taller": (72, 36, 9),
  "too short": (48, 64, 3),
}
FITS = {(8, 16, 24): {"wide", "wider"}, (4, 16, 24): {"short", "square_1"}, (4, 24, 16): {"tall", "taller"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("mixed")
  for name, (height, width, frames) in VIDEOS.items():
    encode(path / f"{name}.mp4", frames=frames, height=height, width=width, tones=(440,))
    (path / f"{name}.txt").write_text(name)
  (path / "broken.mp4").write_bytes((path / "wide.mp4").read_bytes()[:300])
  return path


def source(folder, **fields):
  section = {"name": "folder", "path": str(folder), "held_out": 0.0, "rate": 5.0, "patch": (2, 8, 8)}
  return build_source({**section, "buckets": BUCKETS, "size": 48, **fields})


def batches(some, count, skip=0, state=None, **fields):
  """`count` batches after `skip`, and the state of the iterator before them."""
  made = loader(some, build_senses(("sight", "sound"), some), batch=4, text_length=16, seed=2, **fields)
  iterator = iter(made)
  if state is not None:
    iterator.set_state(state)
  for _ in range(skip):
    next(iterator)
  state = json.loads(json.dumps(iterator.get_state()))
  return [next(iterator) for _ in range(count)], state


def test_every_video_goes_where_brute_force_says():
  rng = np.random.default_rng(0)
  buckets = [Bucket(*size) for size in ((8, 32, 32), (16, 32, 32), (8, 24, 40), (4, 40, 24), (8, 64, 64))]
  videos = [(*map(int, rng.integers(20, 200, 2)), rng.uniform(0, 3)) for _ in range(300)] + [None]
  found = assign(videos, buckets, 8.0)
  for number, video in enumerate(videos):
    rated = []
    for k, (frames, height, width) in enumerate(buckets):
      if video and video[2] >= (frames - 0.5) / 8:
        apart = abs(np.log(video[0] / video[1]) - np.log(width / height))
        rated.append((round(apart, 6), -frames, k))
    best = min(rated)[2] if rated else None
    assert [k for k, fit in enumerate(found) if number in fit] == ([] if best is None else [best])
  assert all(len(fit) for fit in found[:4]) and not len(found[4])  # A copy of the first never comes.


def test_a_batch_is_of_one_bucket_and_every_video_comes_equally_often(folder, capsys):
  some = source(folder)
  assert (some.frames, some.height, some.width) == BUCKETS[0] and len(some) == 3 * 48
  assert some.shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
  said = capsys.readouterr().err
  assert "broken.mp4" in said and "(4, 16, 24): 2, (8, 16, 24): 2, (4, 24, 16): 2; in no bucket: 2" in said
  indices = collections.Counter()
  seen = collections.defaultdict(collections.Counter)
  for batch in batches(some, 36)[0]:
    shape = batch.clip["sight"].shape
    bucket = BUCKETS[int(batch.index[0]) // 48]
    assert shape == (4, *bucket, 3) and batch.clip["sight"].dtype == np.uint8
    assert batch.clip["sound"].shape == (4, shape[1], 12) and batch.context.valid["sound"].all()
    indices.update(batch.index.tolist())
    seen[bucket].update(some[int(i)]["caption"] for i in batch.index)
  # An epoch: each index once.
  assert indices == dict.fromkeys(range(3 * 48), 1)
  assert {bucket: dict(names) for bucket, names in seen.items()} == {
    bucket: dict.fromkeys(names, 24) for bucket, names in FITS.items()
  }


def test_buckets_come_in_proportion_to_their_videos(folder):
  some = source(folder, buckets=(*BUCKETS[:1], *BUCKETS[2:], (8, 96, 8)))
  assert some.shares == pytest.approx((4 / 6, 2 / 6, 0))
  kinds = [int(batch.index[0]) // 48 for batch in batches(some, 30)[0]]
  assert kinds.count(0) == 20 and kinds.count(1) == 10
  assert all(0 < kinds[i : i + 6].count(1) < 4 for i in range(24))  # Evenly, not all at the end.


def test_the_global_batch_is_the_same_in_parts_and_after_a_stop(folder):
  some = source(folder, images=0.25)
  whole, _ = batches(some, 12)
  parts = [batches(source(folder, images=0.25), 12, rows=np.array(rows))[0] for rows in ((0, 3), (1, 2))]
  _, state = batches(some, 0, skip=5)
  later, _ = batches(source(folder, images=0.25), 7, state=state)
  for batch, *of in zip(whole, *parts, strict=True):
    for rows, part in zip(((0, 3), (1, 2)), of, strict=True):
      np.testing.assert_array_equal(batch.index[list(rows)], part.index)
      np.testing.assert_array_equal(batch.clip["sight"][list(rows)], part.clip["sight"])
  for batch, again in zip(whole[5:], later, strict=True):
    np.testing.assert_array_equal(batch.index, again.index)
    np.testing.assert_array_equal(batch.clip["sight"], again.clip["sight"])


@pytest.mark.parametrize("buckets", [(), BUCKETS])
def test_images_are_patches_of_one_real_frame(folder, buckets):
  some = source(folder, buckets=buckets, images=0.25, frames=8, height=16, width=24)
  images = {(16, 24), (24, 16)} if buckets else {(16, 24)}
  assert {tuple(size) for size in some.sizes} == {*(buckets or ((8, 16, 24),)), *((1, *s) for s in images)}
  assert sum(some.shares) == pytest.approx(1)
  stills = 0
  for batch in batches(some, 24)[0]:
    real = batch.context.valid["sight"]
    if int(batch.index[0]) // 48 < (len(buckets) or 1):
      assert real.all()
      continue
    stills += 1
    assert real.tolist() == [[True, False]] * 4 and not batch.context.valid["sound"].any()
    assert batch.clip["sight"].shape[2:4] in images and not batch.clip["sight"][:, 1].any()
    for row, index in enumerate(batch.index):
      example = some[int(index)]
      assert set(example["clip"]) == {"sight"} and len(example["clip"]["sight"]) == 1
      shown = example["clip"]["sight"][0]
      np.testing.assert_array_equal(shown, batch.clip["sight"][row, 0] / np.float32(127.5) - np.float32(1))
      assert (shown[2:6, 2:6] > 0.9).all()  # The white corner.
  assert stills == 6


def test_a_rate_is_drawn_of_those_that_a_video_is_long_enough_for(folder):
  some = source(folder, buckets=((4, 16, 24),), rates=(2.0, 5.0), hearing=False)
  assert some.senses["sight"].rate == 2
  seen = collections.defaultdict(set)
  for index in range(48):
    example = some[index]
    seen[example["caption"]].add(example["fps"])
    assert example["clip"]["sight"].shape == (4, 16, 24, 3)
  # Four frames at 2 a second are not to be had of a second; of three tenths nothing is.
  assert seen["square_1"] == seen["taller"] == {5.0} and seen["wide"] == seen["tall"] == {2.0, 5.0}
  assert set(seen) == set(VIDEOS) - {"too short"}
  with pytest.raises(UserError, match="rates"):
    source(folder, rates=(0.0, 5.0))


def test_what_cannot_be_is_named(folder):
  for fields, words in (
    ({"buckets": ((4, 16),)}, r"of 3 whole numbers \(frames, height, width\) is needed"),
    ({"buckets": ((4, 16, 24), (4, 16, 20))}, r"patch.*\(4, 16, 20\)"),
    ({"images": 1.5}, "images=1.5"),
    ({"size": 1 << 30}, "2\\^31"),
  ):
    with pytest.raises(UserError, match=words):
      source(folder, **fields)
  with pytest.raises(UserError, match="none fits"):
    batches(source(folder, buckets=((400, 16, 24),)), 1)
  with pytest.raises(UserError, match=r"no video of the split 'train' fits the size \(400, 16, 24\) of"):
    source(folder, buckets=((400, 16, 24), *BUCKETS))[0]
