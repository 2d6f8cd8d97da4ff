"""Sources of real videos: what a folder, shards, TikTok's lines and other data sets give."""

import dataclasses
import io
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stale_jax.clip import intensity
from stale_jax.data import Digits, build_senses, build_source, loader
from stale_jax.data.decode.hearing import PITCHES
from stale_jax.data.metadata import Described
from stale_jax.data.print_once import print_once
from stale_jax.data.sources.shards import record, write_shards
from stale_jax.errors import UserError
from stale_jax.media import save_movie
from tests.data.clips import colour, encode

SIZES = {"frames": 4, "height": 24, "width": 32, "rate": 5.0, "patch": (2, 8, 8)}
KINDS = (
  ("red cat.mp4", "libx264", (440,)),
  ("b.webm", "libvpx-vp9", ()),
  ("c/d.mkv", "mpeg4", (622.25, 622.25)),
  ("c/e.mov", "libx264", ()),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Four videos of two seconds, what is known of them, and what is to be left out."""
  path = tmp_path_factory.mktemp("videos")
  (path / "c").mkdir()
  for name, codec, tones in KINDS:
    sound = "libopus" if name.endswith("webm") else "aac"
    encode(path / name, codec, tones=tones, sound_codec=sound)
  (path / "red cat.txt").write_text("a red cat #Cat")
  info = {"description": "b #rain #cat", "view_count": 1234, "like_count": None, "track": "song", "id": "77"}
  (path / "b.info.json").write_text(json.dumps(info))
  encode(path / "short.mp4", frames=2)
  (path / "empty.mp4").write_bytes(b"")
  (path / "._red cat.mp4").write_bytes(b"of another system")
  (path / "notes.txt").write_text("not a video")
  return path


def source(folder, name="folder", **fields):
  return build_source({"name": name, "path": str(folder), "held_out": 0.0, **SIZES, **fields})


def frame_of(pixels):
  """Which frame of `clips.picture` that is, of the first seven."""
  seen = (pixels[-6, -6] + 1) * 127.5
  return int(np.argmin([np.abs(seen - colour(k)).sum() for k in range(7)]))


def test_a_folder_gives_windows_of_its_videos_with_what_is_known_of_them(folder, capsys):
  some = source(folder, hashtags=("dog", "cat", "rain"), sounds=("song",))
  labels = dict.fromkeys(("views", "likes", "comments", "shares", "saves"), 10)
  assert some.labels == {"hashtag": 3, "audio": 1, **labels} and set(some.senses) == {"sight", "sound"}
  assert len(some) == 1 << 24
  seen, starts = {}, set()
  for index in range(120):
    example = some[index]
    sight = example["clip"]["sight"]
    assert example["index"] == index and sight.shape == (4, 24, 32, 3) and sight.dtype == np.float32
    assert np.abs(sight).max() <= 1 and (sight[:, 2:6, 2:6] > 0.9).all()  # The white corner.
    # Five frames a second of ten: every other one, from anywhere in the file.
    shown = [frame_of(pixels) for pixels in sight]
    assert [(k - shown[0]) % 7 for k in shown] == [0, 2, 4, 6]
    key = example["caption"], "sound" in example["clip"]
    seen.setdefault(key, []).append(example)
    starts.add(shown[0])
  assert starts == set(range(7))
  # Of the six files, the empty one is told and the short one too; the next ones stand in for them.
  assert {key: len(each) for key, each in seen.items()} == {
    ("a red cat #Cat", True): 40,
    ("b #rain #cat", False): 20,
    ("", True): 40,
    ("", False): 20,
  }
  said = capsys.readouterr().err
  assert said.count("short.mp4") == said.count("empty.mp4") == 1 and said.count("\n") == 2
  (red, *_), (b, *_) = seen["a red cat #Cat", True], seen["b #rain #cat", False]
  assert red["labels"] == {"hashtag": [1]}
  assert b["labels"] == {"hashtag": [2, 1], "views": 4, "audio": 0}
  # The tone of each.
  for key, pitch in ((("a red cat #Cat", True), 440), (("", True), 622.25)):
    level = intensity(np.stack([example["clip"]["sound"] for example in seen[key]]))
    band = int(np.abs(np.array(PITCHES) - pitch).argmin())
    assert level.shape[1:] == (4, 12) and (level.argmax(-1) == band).all()
    np.testing.assert_allclose(level[:, 1:3, band], 0.5**0.5, rtol=0.1)


def test_random_access_is_deterministic_in_seed_and_index(folder):
  some, again, other = source(folder), source(folder), source(folder, seed=1)
  for index in (5, 0, 12345):
    for name, value in some[index]["clip"].items():
      np.testing.assert_array_equal(value, again[index]["clip"][name])
  different = [np.abs(some[i]["clip"]["sight"] - other[i]["clip"]["sight"]).max() > 0.1 for i in range(12)]
  assert sum(different) >= 8


def test_without_hearing_there_is_no_sound(folder):
  some = source(folder, hearing=False)
  assert set(some.senses) == {"sight"} and set(some[0]["clip"]) == {"sight"}


def test_splits_keep_videos_apart(tmp_path):
  video = encode(tmp_path / "0.mp4").read_bytes()
  for number in range(30):
    (tmp_path / f"{number}.mp4").write_bytes(video)
    (tmp_path / f"{number}.txt").write_text(str(number))
    (tmp_path / f"{number}.info.json").write_text(json.dumps({"uploader": f"user {number // 3}"}))

  def captions(**fields):
    some = source(tmp_path, **{"held_out": 0.3, **fields})
    return {some.find(which)[1].caption for which in range(some.count())}

  train, test = captions(), captions(split="test")
  assert train and test and not train & test and len(train | test) == 30
  assert {int(name) // 3 for name in train}.isdisjoint({int(name) // 3 for name in test})
  with pytest.raises(UserError, match="none of its 30 videos is in the split 'test'"):
    captions(split="test", held_out=0.0)


def test_the_loader_batches_a_folder_and_goes_on_exactly_where_it_was(folder):
  some = source(folder)
  senses = build_senses(("sight", "sound"), some)
  make = lambda: iter(loader(some, senses, batch=4, text_length=16, seed=3))  # noqa: E731
  one = make()
  first = [next(one) for _ in range(2)]
  state = one.get_state()
  rest = [next(one) for _ in range(2)]
  other = make()
  other.set_state(json.loads(json.dumps(state)))
  for a, b in zip(rest, [next(other) for _ in range(2)], strict=True):
    np.testing.assert_array_equal(a.index, b.index)
    np.testing.assert_array_equal(a.clip["sight"], b.clip["sight"])
    np.testing.assert_array_equal(a.clip["sound"], b.clip["sound"])
  batches = first + rest
  heard = np.concatenate([batch.context.valid["sound"][:, 0] for batch in batches])
  assert heard.any() and not heard.all()
  for batch in batches:
    assert batch.clip["sight"].shape == (4, 4, 24, 32, 3) and set(batch.labels) == set(some.labels)
    assert (batch.clip["sound"][~batch.context.valid["sound"]] == 0).all()


def test_tracks_beside_a_video_become_senses_when_asked(tmp_path, capsys):
  digits = Digits(frames=16, rate=8.0)
  clip = {name: value for name, value in digits[1]["clip"].items() if name != "balance"}
  save_movie(tmp_path, "movie", clip, digits.senses, {})
  encode(tmp_path / "bare.mp4")
  asked = {name: digits.senses[name].channels for name in ("touch", "smell", "taste")}
  fields = {"frames": 16, "rate": 8.0, "patch": (4, 8, 8)}
  assert "touch" not in source(tmp_path).senses
  some = source(tmp_path, **fields, **asked)
  assert some.senses["smell"] == digits.senses["smell"]
  with_tracks, without = some[1]["clip"], some[0]["clip"]
  assert set(without) == {"sight"} and set(with_tracks) == {"sight", "sound", "touch", "smell", "taste"}
  for name in asked:
    np.testing.assert_allclose(with_tracks[name], clip[name], atol=1e-6)
  # A track that is broken costs its senses, not the video.
  (tmp_path / "movie.npz").write_bytes(b"broken")
  assert set(source(tmp_path, **fields, **asked)[1]["clip"]) == {"sight", "sound"}
  assert capsys.readouterr().err.count("movie.npz cannot be parsed") == 1


def test_folders_that_will_not_do_are_named(tmp_path, folder):
  for path, words in ((tmp_path / "nowhere", "not a folder"), (tmp_path, "contains no video")):
    with pytest.raises(UserError, match=words):
      source(path)[0]
  (tmp_path / "empty.mp4").write_bytes(b"")
  with pytest.raises(UserError, match="of 1 videos .* none can"):
    source(tmp_path)[0]
  for number in range(12):
    (tmp_path / f"{number}.mp4").write_bytes(b"")
  with pytest.raises(UserError, match="of 13 videos .* none can"):
    source(tmp_path)[0]
  for fields, words in (
    ({"split": "tset"}, "'test'"),
    ({"frames": 5}, "patch"),
    ({"rate": 0.0}, "rate=0.0"),
    ({"held_out": 2.0}, "held_out=2.0"),
    ({"heigth": 8}, "'height'"),
  ):
    with pytest.raises(UserError, match=words):
      source(folder, **fields)
  with pytest.raises(UserError, match="source.path is missing"):
    build_source({"name": "folder"})


def test_the_research_apis_lines_describe_the_files_of_a_folder(tmp_path, capsys):
  for name in ("71.mp4", "a cat [72].mp4", "73.mp4"):
    encode(tmp_path / name)
  lines = [
    {"id": 71, "video_description": "rain", "like_count": 5, "username": "a"},
    {"id": 72, "video_description": "cat", "hashtag_names": ["cat"], "username": "b"},
    {"id": 99, "video_description": "not here", "username": "c"},
  ]
  (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"id": 7')
  some = source(tmp_path, "research_api", lines=str(tmp_path / "lines.jsonl"), hashtags=("cat",))
  assert some.count() == 2
  assert "1 of 3 videos are left out" in capsys.readouterr().err
  examples = [some[index] for index in range(4)]
  assert [example["caption"] for example in examples] == ["rain", "cat", "rain", "cat"]
  assert [example["labels"] for example in examples[:2]] == [{"likes": 1}, {"hashtag": [0]}]
  with pytest.raises(UserError, match="cannot be read"):
    source(tmp_path, "research_api", lines="nowhere")[0]


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
  def records(names):
    for number, name in enumerate(names):
      described = Described(
        caption=name, source_id=f"id {number}", uploader=f"by {number}", url=f"at @/{number}"
      )
      metadata = {**dataclasses.asdict(described), "clip_start": 1.5, "license": "CC0"}
      yield name, record((folder / name).read_bytes(), metadata)

  names = [name for name, _, _ in KINDS]
  return write_shards(
    tmp_path_factory.mktemp("shards"), {"train": records(names), "test": records(names[:1])}
  )


def of_shards(path, **fields):
  return build_source({"name": "shards", "path": str(path), **SIZES, **fields})


def test_shards_give_what_was_written(shards):
  some = of_shards(shards)
  captions = [some[index]["caption"] for index in range(8)]
  assert sorted(captions[:4]) == sorted(name for name, _, _ in KINDS) and captions[4:] == captions[:4]
  for index in range(8):
    clip = some[index]["clip"]
    shown = [frame_of(pixels) for pixels in clip["sight"]]
    assert [(k - shown[0]) % 7 for k in shown] == [0, 2, 4, 6]
    assert ("sound" in clip) == (captions[index] in ("red cat.mp4", "c/d.mkv"))
    np.testing.assert_array_equal(clip["sight"], of_shards(shards)[index]["clip"]["sight"])
  assert {of_shards(shards, split="test")[index]["caption"] for index in range(5)} == {"red cat.mp4"}
  batch = next(iter(loader(some, build_senses(("sight", "sound"), some), batch=4, text_length=8, seed=0)))
  assert batch.clip["sight"].shape == (4, 4, 24, 32, 3)
  with pytest.raises(UserError, match="holds a data set already"):
    write_shards(shards.parent.parent, {"train": [("a", record(b"", {}))]})


@pytest.mark.parametrize("line", ["id 1", "at @/1", "at @some.one/1", "by 1"])
def test_what_is_taken_down_is_not_read(shards, tmp_path, capsys, line):
  (tmp_path / "down.txt").write_text(f"id 17\n  {line}\n\nat @nobody/99\n")
  some = of_shards(shards, takedown=str(tmp_path / "down.txt"))
  assert {some[index]["caption"] for index in range(12)} == {"red cat.mp4", "c/d.mkv", "c/e.mov"}
  said = capsys.readouterr().err
  assert said.count("\n") == 1 and "2 of its lines name no clip, the first 'at @nobody/99'" in said
  (tmp_path / "down.txt").write_text("\n".join(f"id {number}" for number in range(9)))
  with pytest.raises(UserError, match="of 4 videos .* none can .* taken down"):
    of_shards(shards, takedown=str(tmp_path / "down.txt"))[0]
  with pytest.raises(UserError, match="nowhere"):
    of_shards(shards, takedown="nowhere")[0]
  (tmp_path / "down.txt").write_bytes(line.encode("utf-16"))
  assert of_shards(shards, takedown=str(tmp_path / "down.txt")).taken_down >= {line}
  (tmp_path / "down.txt").write_bytes("id süß".encode("cp1252"))
  with pytest.raises(UserError, match="down.txt is not UTF-8 text"):
    of_shards(shards, takedown=str(tmp_path / "down.txt"))[0]


def test_shards_that_cannot_be_are_named(tmp_path, shards):
  with pytest.raises(UserError, match="same key, 'a'"):
    write_shards(tmp_path / "twice", {"train": [("a", record(b"", {}))] * 2})
  with pytest.raises(UserError, match="no clip"):
    write_shards(tmp_path / "none", {"train": [], "test": iter(())})
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot write"):
    write_shards(tmp_path / "file" / "x", {"train": [("a", record(b"", {}))]})
  with pytest.raises(UserError, match="no dataset_info.json"):
    of_shards(tmp_path)[0]
  only = write_shards(tmp_path / "only", {"train": [("a", record(b"no video", {}))], "test": []})
  with pytest.raises(UserError, match="no split 'test'"):
    of_shards(only, split="test")[0]
  with pytest.raises(UserError, match="of 1 videos .* none can"):
    of_shards(only)[0]


def test_another_data_set_of_tfds(tmp_path):
  import tensorflow_datasets as tfds

  names = ("walking", "running")
  pixels = np.zeros((20, 30, 40, 3), np.uint8)
  pixels[:] = np.arange(20)[:, None, None, None] * 12

  class Actions(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      features = {
        "frames": tfds.features.Tensor(shape=(None, 30, 40, 3), dtype=np.uint8),
        "action": tfds.features.ClassLabel(names=names),
        "says": tfds.features.Text(),
      }
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
      return {"train": self._generate_examples()}

    def _generate_examples(self):
      for number in range(4):
        yield number, {"frames": pixels, "action": number % 2, "says": f"number {number}"}

  builder = Actions(data_dir=str(tmp_path), file_format="array_record")
  builder.download_and_prepare()
  section = {"name": "tfds", "path": str(builder.data_dir), **SIZES, "video": "frames", "recorded_rate": 10.0}
  some = build_source({**section, "label": "action"})
  assert some.labels == {"action": 2}
  seen = {}
  for index in range(40):
    example = some[index]
    assert example["caption"] == names[example["labels"]["action"]] and set(example["clip"]) == {"sight"}
    shown = np.round((example["clip"]["sight"][:, 9, 9, 1] + 1) * 127.5 / 12)
    np.testing.assert_array_equal(shown - shown[0], [0, 2, 4, 6])
    seen.setdefault(example["caption"], set()).add(int(shown[0]))
  assert {name: len(starts) > 5 for name, starts in seen.items()} == dict.fromkeys(names, True)
  captions = build_source({**section, "caption": "says"})
  assert captions.labels == {} and {captions[i]["caption"] for i in range(4)} == {
    f"number {i}" for i in range(4)
  }
  for fields, words in (
    ({"video": "framse"}, "'frames'"),
    ({"label": "says"}, "not a feature of named classes"),
    ({"video": "says"}, "of 4 videos .* none can"),
    ({"video": "action"}, "a video is bytes"),
    ({"split": "test"}, "no split"),
    ({"path": str(tmp_path)}, "is not a data set"),
  ):
    with pytest.raises(UserError, match=words):
      build_source({**section, **fields})[0]


def test_what_several_threads_find_is_said_once(monkeypatch):
  class Slow(io.StringIO):
    def write(self, words):
      time.sleep(0.01)
      return super().write(words)

  monkeypatch.setattr(sys, "stderr", Slow())
  with ThreadPoolExecutor(8) as pool:
    list(pool.map(print_once, ["left out: one.", "left out: two."] * 8))
  assert sorted(sys.stderr.getvalue().splitlines()) == ["left out: one.", "left out: two."]
