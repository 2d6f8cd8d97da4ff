"""What others wrote beside videos: read right, whole or in part, broken or not."""

import json
import pickle

import numpy as np
import pytest

from stale_jax.data.metadata import (
  BUCKETS,
  Described,
  anonymous,
  are_held_out,
  bucket,
  from_info,
  from_json,
  from_research,
  read_described,
  read_research,
  to_json,
)
from stale_jax.errors import UserError

INFO = {
  "id": "7301234567890123456",
  "title": "dancing with the cat…",
  "description": "dancing with\nthe cat 🐈 #Dance #fyp #katze_süß #dance @some.friend",
  "timestamp": 1699999999,
  "duration": 15,
  "view_count": 120_000,
  "like_count": 0,
  "repost_count": None,
  "comment_count": 7,
  "save_count": 99,
  "track": "original sound - a.user",
  "artists": ["a.user"],
  "uploader": "a.user",
  "uploader_id": "6801",
  "extractor_key": "TikTok",
  "webpage_url": "https://www.tiktok.com/@a.user/video/7301234567890123456",
}
VIDEO = {
  "id": 7301234567890123456,
  "video_description": "rain on a roof #rain",
  "create_time": 1700000001,
  "hashtag_names": ["asmr", "rain"],
  "like_count": 10,
  "share_count": 3,
  "comment_count": None,
  "view_count": 99,
  "favourites_count": 4,
  "video_duration": 21,
  "username": "a.user",
  "music_id": 12,
}


def test_what_yt_dlp_says():
  got = from_info(INFO)
  assert got == Described(
    caption="dancing with the cat 🐈 #Dance #fyp #katze_süß #dance @some.friend",
    hashtags=("dance", "fyp", "katze_süß"),
    counts={"views": 120_000, "likes": 0, "comments": 7, "saves": 99},
    sound="original sound - a.user - a.user",
    source_id="7301234567890123456",
    platform="tiktok",
    uploader="6801",
    accounts=("6801", "a.user"),
    url=INFO["webpage_url"],
    seconds=15.0,
    created=1699999999,
  )
  assert from_info({}) == Described()
  assert from_info(dict.fromkeys(INFO)) == Described()
  from_info({"title": "half a cat \ud83d"}).caption.encode()
  assert from_info({"title": "only a title", "tags": ["A", "b"]}).hashtags == ("a", "b")


def test_what_the_research_api_says(tmp_path):
  got = from_research(VIDEO)
  assert got.hashtags == ("asmr", "rain") and got.sound == "12" and got.created == 1700000001
  assert got.counts == {"views": 99, "likes": 10, "shares": 3, "saves": 4}
  assert got.source_id == INFO["id"] and got.seconds == 21 and got.platform == "tiktok"
  assert got.url == "https://www.tiktok.com/@a.user/video/7301234567890123456"
  lines = [
    json.dumps(VIDEO),
    "",
    json.dumps({"data": {"videos": [VIDEO, {**VIDEO, "id": 8}], "has_more": True}, "error": {"code": "ok"}}),
    '{"id": 9, "view_count": "many"}',
    "[1]",
    json.dumps({"video_description": "of nobody"}),
    json.dumps(VIDEO)[:40],
  ]
  path = tmp_path / "videos.jsonl"
  path.write_text("\n".join(lines))
  videos, left_out = read_research(path)
  assert [video.source_id for video in videos] == [INFO["id"], INFO["id"], "8"]
  assert [words.split(":")[0].split("line ")[1].split()[0] for words in left_out] == ["4", "5", "6", "7"]
  assert "view_count is of type str" in left_out[0] and "not JSON" in left_out[3]
  for content, words in (("", "it is empty"), ("{", "line 1 is not JSON")):
    path.write_text(content)
    with pytest.raises(UserError, match=words):
      read_research(path)
  with pytest.raises(UserError, match="cannot be read"):
    read_research(tmp_path / "nowhere")


def test_what_lies_beside_a_video(tmp_path):
  video = tmp_path / "some.clip [73].mp4"
  assert read_described(video) == (Described(source_id="some.clip [73]"), {})
  (tmp_path / "some.clip [73].info.json").write_text(json.dumps(INFO))
  assert read_described(video) == (from_info(INFO), {})
  (tmp_path / "some.clip [73].txt").write_text("\ufeffa cat #Cat\r\n dances\n")
  got, faults = read_described(video)
  assert not faults
  assert got.caption == "a cat #Cat dances" and got.hashtags == ("dance", "fyp", "katze_süß", "cat")
  assert got.uploader == "6801"
  for broken, words in (
    ('{"id": ', "not JSON"),
    ("[]", "object"),
    ('{"like_count": "1K"}', "like_count is of type str"),
    ('{"like_count": NaN}', "like_count is nan"),
    ('{"duration": 1e999}', "duration is inf"),
  ):
    (tmp_path / "some.clip [73].info.json").write_text(broken)
    got, faults = read_described(video)
    [(name, fault)] = faults.items()
    assert name.endswith("[73].info.json") and fault.startswith(name) and words in fault and "\n" not in fault
    assert got.caption == "a cat #Cat dances" and not got.uploader  # The other file is still read.
  (tmp_path / "some.clip [73].info.json").write_text("[" * 100_000)
  _, faults = read_described(video)
  assert "not JSON" in next(iter(faults.values()))


def test_json_and_back():
  for described in (Described(), from_info(INFO), from_research(VIDEO)):
    line = to_json(described)
    assert "\n" not in line and from_json(line) == described == from_json(line.encode())
    assert pickle.loads(pickle.dumps(described)) == described
  # Curating adds keys of its own.
  assert from_json('{"caption": "a", "clip_start": 3}') == Described(caption="a")
  with pytest.raises(UserError, match="caption is of type list"):
    from_json('{"caption": ["a"]}')


def test_counts_fall_into_buckets_by_their_digits():
  counts = [0, 1, 9, 10, 99, 100, 12_345, 99_999_999, 100_000_000, 10**12, -1]
  assert [bucket(count) for count in counts] == [0, 1, 1, 2, 2, 3, 5, 8, 9, 9, 0]
  assert bucket(10**30) == BUCKETS - 1


def test_a_split_keeps_an_uploader_together_and_has_its_share():
  videos = [Described(uploader=f"user {n}", source_id=str(n)) for n in range(2000)]
  test = np.array(are_held_out(videos, 0.1))
  assert 0.08 < test.mean() < 0.12
  # It does not depend on the video where the uploader is known, and does where none is.
  others = [Described(uploader=f"user {n}", source_id=f"another {n}") for n in range(2000)]
  assert are_held_out(others, 0.1) == test.tolist()
  assert 0.08 < np.mean(are_held_out([Described(source_id=str(n)) for n in range(2000)], 0.1)) < 0.12
  assert not any(are_held_out(videos, 0.0)) and all(are_held_out(videos, 1.0))
  # Those of a smaller share are among those of a greater.
  assert np.array(are_held_out(videos, 0.2))[test].all()


def test_names_are_gone_from_the_anonymous():
  for described in (from_info(INFO), from_research(VIDEO), from_info({**INFO, "uploader_id": None})):
    got = anonymous(described, "salt")
    line = to_json(got)
    assert "a.user" not in line and "6801" not in line and "some.friend" not in line
    assert len(got.uploader) == 32 and INFO["id"] in got.url
    assert anonymous(described, "salt") == got != anonymous(described, "pepper")
  assert anonymous(Described(), "salt") == Described()
