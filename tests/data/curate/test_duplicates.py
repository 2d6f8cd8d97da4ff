"""Near-duplicates are near, others are far; of a cluster one is kept, and splits have nothing in common."""

import cv2
import numpy as np
import pytest

from stale_jax.data.curate import Settings
from stale_jax.data.curate.hashes import clip_hash, distances, from_text, hash_pieces
from stale_jax.data.curate.judge import groups, judge
from stale_jax.data.curate.pipeline import _near
from stale_jax.testing.scenes import GOOD, Change, scene


def hashed(frames):
  return clip_hash(np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames[[6, 18]]]))


CLIPS = [scene(kind, 1, seed, 120, 214) for seed in range(2) for kind in GOOD]


@pytest.mark.parametrize(
  "change",
  [
    Change(scale=0.5),
    Change(scale=1.5),
    Change(crop=0.05),
    Change(crop=0.08, corner=0.2),
    Change(gain=1.2, lift=10),
    Change(gain=0.8, lift=-10),
    Change(scale=0.67, crop=0.05, corner=0.9, gain=0.9),
  ],
)
def test_a_changed_clip_is_near_and_shares_a_piece(change):
  near = []
  for frames in CLIPS:
    one, other = hashed(frames), hashed(change(frames))
    near.append(
      distances(one, other[None])[0] <= Settings().nearest and set(hash_pieces(one)) & set(hash_pieces(other))
    )
  assert sum(map(bool, near)) >= 0.95 * len(near)


def test_other_clips_are_far():
  codes = np.stack([hashed(frames) for frames in CLIPS])
  for i in range(1, len(codes)):
    assert distances(codes[i], codes[:i]).min() > Settings().nearest + 16


def test_a_hash_is_written_down_and_read():
  code = hashed(CLIPS[0])
  np.testing.assert_array_equal(from_text(code.tobytes().hex()), code)
  assert distances(code, code[None])[0] == 0


def test_pairs_are_of_different_videos():
  one, other = hashed(CLIPS[0]).tobytes(), hashed(CLIPS[1]).tobytes()
  bucket = [("b_00000", one), ("a_00000", one), ("a_00001", one), ("c_00000", other)]
  assert sorted(_near((b"", bucket), 64)) == ["a_00000 b_00000", "a_00001 b_00000"]


def test_groups_are_what_links_connect():
  links = [("b", "c"), ("d", "c"), ("e", "f")]
  assert groups("abcdef", links) == {"a": "a", "b": "b", "c": "b", "d": "b", "e": "e", "f": "e"}
  assert groups("abcdef", reversed(links)) == groups("abcdef", links)


def clip(start, **changes):
  return {"start": start, "end": start + 2.0, "light": 0.6, "motion": 0.2, "text": 0.0, **changes}


def video(name, width, clips, person="", source=""):
  sizes = {"width": width, "height": 100, "seconds": 9.0, "bytes": 1}
  return {"id": name, "clips": clips, "person": person, "source": source, **sizes}


def test_of_a_cluster_the_largest_video_is_kept_and_faults_have_their_reasons():
  small = video("a", 100, [clip(0), clip(2, motion=0.001), clip(4, light=0.01), clip(6, text=0.5)])
  large = video("b", 200, [clip(0), {"start": 3.0, "end": 3.5}])
  got = judge([small, large], [("a_00000", "b_00000")], Settings())
  reasons = {c["id"]: c["reason"] for c in got}
  assert reasons == {
    "a_00000": "duplicate",
    "a_00001": "static",
    "a_00002": "dark",
    "a_00003": "text",
    "b_00000": "",
    "b_00001": "short",
  }
  assert [c["cluster"] for c in got] == ["a_00000", "", "", "", "a_00000", ""]


def test_splits_have_no_uploader_source_or_near_duplicate_in_common():
  people = [f"p{i % 60}" for i in range(240)]
  videos = [video(f"v{i:03}", 100, [clip(0), clip(3)], person=people[i]) for i in range(240)]
  videos += [video(f"w{i:03}", 100, [clip(0)], source=f"tiktok:{i // 2}") for i in range(60)]
  links = [("v000_00000", "w000_00000"), ("v001_00001", "v002_00000")]
  got = judge(videos, links, Settings(test_share=0.3))
  split = {}
  for c in got:
    split.setdefault(c["split"], set()).add(c["video"])
  assert not split["test"] & split["train"] and 0.1 < len(split["test"]) / 300 < 0.5
  of = {name: kind for kind, names in split.items() for name in names}
  assert of["v000"] == of["w000"] == of["w001"] == of["v060"] and of["v001"] == of["v002"] == of["v061"]
  for person in set(people):
    assert len({of[v["id"]] for v in videos if v["person"] == person}) == 1
  assert judge(videos[::-1], links[::-1], Settings(test_share=0.3)) == got


def test_videos_that_share_an_account_are_in_one_split():
  videos = [video(f"v{i:03}", 100, [clip(0)], person=f"p{i}") for i in range(200)]
  before = {c["id"]: c["split"] for c in judge(videos, [], Settings(test_share=0.3))}
  # v0 and v1 have an account in common, v1 and v2 another one; the others have one each.
  accounts = [["a"], ["a", "b"], ["b"], *([f"of {i}"] for i in range(3, 200))]
  videos = [{**video, "accounts": each} for video, each in zip(videos, accounts, strict=True)]
  got = judge(videos, [], Settings(test_share=0.3))
  assert len({c["group"] for c in got[:3]}) == 1 and len({c["group"] for c in got}) == 198
  assert all(c["split"] == before[c["id"]] for c in got[3:])  # As before there were accounts.
