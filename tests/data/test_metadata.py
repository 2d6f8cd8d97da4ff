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
  share_of,
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
  # A share of the videos keeps the caption of the uploader.
  assert read_described(video, original=1.0)[0].caption == from_info(INFO).caption
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


@pytest.mark.parametrize(
  ("encoding", "mark"),
  [("utf-8", ""), *((f"utf-{name}", "\ufeff") for name in ("8", "16-le", "16-be", "32-le", "32-be"))],
)
def test_text_is_decoded_by_its_byte_order_mark(tmp_path, encoding, mark):
  text = "ein süßes Kätzchen 🐈"
  (tmp_path / "a.txt").write_bytes((mark + text).encode(encoding))
  (tmp_path / "b.info.json").write_bytes((mark + json.dumps({"title": text})).encode(encoding))
  for video in ("a.mp4", "b.mp4"):
    described, faults = read_described(tmp_path / video)
    assert (described.caption, faults) == (text, {})


@pytest.mark.parametrize(
  ("data", "words"),
  [
    ("süß".encode("cp1252"), "is not UTF-8 text (byte 1)"),
    ("cat".encode("utf-16-le"), "contains zero bytes"),
    ("süß".encode("utf-16")[:-1], "is not UTF-16 text (byte 6)"),
  ],
)
def test_text_in_no_such_encoding_is_refused_by_name(tmp_path, data, words):
  (tmp_path / "a.txt").write_bytes(data)
  (tmp_path / "a.info.json").write_text('{"description": "of the platform"}')
  described, faults = read_described(tmp_path / "a.mp4")
  assert described.caption == "of the platform"
  [(name, fault)] = faults.items()
  assert name == str(tmp_path / "a.txt") and fault.startswith(name) and words in fault


@pytest.mark.parametrize("text", ["", " \n\t", "\ufeff"])
def test_an_empty_caption_is_none(tmp_path, text):
  (tmp_path / "a.txt").write_text(text)
  (tmp_path / "a.info.json").write_text('{"description": "of the platform"}')
  assert read_described(tmp_path / "a.mp4")[0].caption == "of the platform"


def test_lines_of_the_research_api_are_decoded_one_by_one(tmp_path):
  path, line = (
    tmp_path / "videos.jsonl",
    json.dumps({**VIDEO, "video_description": "süß"}, ensure_ascii=False),
  )
  path.write_bytes(
    b"\n".join([line.encode(), line.encode("cp1252"), line.replace("süß", "a\u2028b").encode()])
  )
  videos, skipped = read_research(path)
  assert [video.caption for video in videos] == ["süß", "a b"]
  assert len(skipped) == 1 and "line 2 is not UTF-8" in skipped[0]
  path.write_bytes(f"{line}\n{line}".encode("utf-16"))
  assert [video.caption for video in read_research(path)[0]] == ["süß", "süß"]


UPLOADERS = [
  {"uploader_id": "@Some.One", "channel_id": "UC77"},
  {"uploader": "some.one"},
  {"channel_id": "UC77"},
  {"channel_url": "https://www.youtube.com/channel/UC77/"},
  {"uploader_url": "https://www.tiktok.com/@some.one", "creator": "Both"},
  {"webpage_url": "https://www.tiktok.com/@some.one/video/73"},
  {"channel": "both"},
]


def test_videos_that_share_any_name_of_an_uploader_are_in_one_split():
  videos = [from_info({**info, "id": str(k)}) for k, info in enumerate(UPLOADERS)]
  shares = np.linspace(0.01, 0.99, 60).tolist()
  held = np.array([are_held_out(videos, share) for share in shares])
  assert (held == held[:, :1]).all() and 0 < held[:, 0].sum() < len(shares)
  # Without the video that has both names, there are two groups.
  apart = np.array([are_held_out(videos[1:4], share) for share in shares])
  assert (apart[:, 1] == apart[:, 2]).all() and (apart[:, 0] != apart[:, 1]).any()
  # The names do not join others.
  other = from_info({"id": "9", "uploader": "another", "webpage_url": "https://www.tiktok.com/video/73"})
  assert (np.array([are_held_out([*videos, other], share)[-1] for share in shares]) != held[:, 0]).any()


def test_an_uploader_with_one_name_is_split_by_this_name():
  videos = [from_info({"id": str(k), "uploader_id": f"@User{k // 2}"}) for k in range(100)]
  assert are_held_out(videos, 0.3) == [share_of(f"@User{k // 2}") < 0.3 for k in range(100)]


def test_new_videos_move_no_video_out_of_the_test_split():
  videos = [from_info({"uploader_id": f"user {k}"}) for k in range(200)]
  joins = [from_info({"uploader_id": f"user {k}", "uploader": f"user {k + 1}"}) for k in range(0, 200, 2)]
  before, after = are_held_out(videos, 0.3), are_held_out([*videos, *joins], 0.3)[:200]
  assert all(b <= a for b, a in zip(before, after, strict=True)) and before != after


def test_names_that_are_not_utf8_have_a_share_and_a_hash():
  described = Described(source_id="caf\udce9", uploader="caf\udce9")
  assert 0 <= share_of("caf\udce9") < 1 and are_held_out([described], 1.0) == [True]
  assert len(anonymous(described, "salt").uploader) == 32


@pytest.mark.parametrize(
  "line",
  [
    '{"data": {"videos": null}}',
    '{"data": {"videos": 3}}',
    '{"id": 1, "video_duration": 1' + "0" * 400 + "}",
  ],
)
def test_lines_of_other_shapes_are_skipped(tmp_path, line):
  path = tmp_path / "videos.jsonl"
  path.write_text(f'{line}\n{{"id": 7, "video_description": "a cat"}}\n')
  videos, skipped = read_research(path)
  assert [video.caption for video in videos] == ["a cat"] and len(skipped) == ("null" not in line)
