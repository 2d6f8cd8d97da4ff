"""A folder of videos as users keep them: odd names, many formats, files that cannot be read."""

import json
import os

import numpy as np
import pytest

from stale_jax.data import Folder, loader, print_once
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.sources import folder as folder_module
from stale_jax.data.sources import videos as videos_module
from stale_jax.errors import UserError
from tests.data.clips import encode

SETTINGS = {"frames": 4, "height": 16, "width": 16, "patch": (2, 8, 8), "held_out": 0.0, "hearing": False}


@pytest.fixture(autouse=True)
def nothing_printed(monkeypatch):
  monkeypatch.setattr(print_once, "_PRINTED", set())
  monkeypatch.setattr(print_once, "_NAMED", set())


@pytest.fixture(scope="module")
def video(tmp_path_factory):
  return encode(tmp_path_factory.mktemp("video") / "a.mp4", height=16, width=16).read_bytes()


def folder(path, **fields) -> Folder:
  return Folder(path=str(path), **{**SETTINGS, "size": 64, **fields})


def test_names_that_are_not_utf8_are_read(tmp_path, video, capsys):
  place = tmp_path / "d\udce9r"
  place.mkdir()
  for name, caption in (("caf\udce9.mp4", "a café"), ("b.mp4", "b")):
    (place / name).write_bytes(video)
    (place / name).with_suffix(".txt").write_text(caption)
  (place / "br\udce9ken\n.mp4").write_bytes(b"")
  os.mkfifo(place / "pipe.mp4")  # To read it would be to wait for ever.
  source = folder(place)
  assert {source[index]["caption"] for index in range(6)} == {"a café", "b"}
  assert len(source.content()) == 64 and len(source.manifest()) == 3
  assert folder(place, held_out=1.0, split="test").count() == 3
  said = capsys.readouterr().err
  assert said.count("\n") == 1 and "ken\\n.mp4 is empty" in said
  source = folder(place, buckets=((4, 16, 16),))
  source.prepare()
  batch = next(iter(loader(source, tuple(source.senses.values()), batch=2, text_length=8, seed=0, workers=1)))
  assert batch.clip["sight"].shape == (2, 4, 16, 16, 3)


def test_many_formats_are_read_and_other_files_are_counted(tmp_path, video, capsys):
  written = (
    ("a.wmv", "wmv2"),
    ("b.mts", "libx264"),
    ("c.m2ts", "libx264"),
    ("d.mpeg", "mpeg1video"),
    ("e.vob", "mpeg2video"),
    ("f.asf", "wmv2"),
    ("g.M4V", "libx264"),
  )
  for name, codec in written:
    options = {"b": "400000"} if codec.startswith("mpeg") else {}
    encode(tmp_path / name, codec, rate=25, frames=50, options=options)
  (tmp_path / "linked").symlink_to(tmp_path.parent / f"{tmp_path.name}_elsewhere")
  (tmp_path.parent / f"{tmp_path.name}_elsewhere").mkdir()
  (tmp_path / "linked" / "h.mp4").write_bytes(video)
  for name in ("a.jpg", "b.jpg", "x.part", "README", "a.webp", "a.txt", "rights.json", "lines.jsonl"):
    (tmp_path / name).write_bytes(b"text")
  source = folder(tmp_path, rate=5.0)
  names = [path.rpartition("/")[2] for path, _ in source._videos]
  assert names == [*(name for name, _ in written), "h.mp4"]  # The thumbnail of a.wmv is not among them.
  for index in range(len(names)):
    assert source[index]["clip"]["sight"].shape == (4, 16, 16, 3)
  said = capsys.readouterr().err
  assert "left out" not in said and said.count("\n") == 1
  assert "5 file(s) are not read" in said and "2 .jpg, 1 .part, 1 .webp, 1 without an ending" in said


def test_a_run_ends_only_if_no_video_can_be_used(tmp_path, video, capsys, monkeypatch):
  for number in range(40):
    (tmp_path / f"{number:02}.mp4").write_bytes(b"no video")
  (tmp_path / "40.mp4").write_bytes(video)
  opened = []
  monkeypatch.setattr(
    videos_module, "seconds_of", lambda path, real=videos_module.seconds_of: opened.append(path) or real(path)
  )
  source = folder(tmp_path)
  examples = [source[index]["clip"]["sight"] for index in range(41)]
  assert len(opened) == 41  # Each once, although each was drawn.
  said = capsys.readouterr().err.splitlines()
  assert len(said) == len(set(said)) == 40 and all(line.startswith("left out: ") for line in said)
  # The examples do not depend on what was tried before.
  videos_module._seconds.cache_clear()
  for index in (40, 7, 0):
    np.testing.assert_array_equal(folder(tmp_path)[index]["clip"]["sight"], examples[index])
  (tmp_path / "40.mp4").write_bytes(b"no video")
  videos_module._seconds.cache_clear()
  with pytest.raises(UserError, match="of 41 videos in the split 'train', none can be used; the last: .*mp4"):
    folder(tmp_path)[0]


def test_an_address_that_does_not_answer_is_tried_again(monkeypatch):
  answers = [Unreadable("no_file", "a.mp4", "cannot be read."), 2.5]

  def seconds_of(path):
    if isinstance(answer := answers.pop(0), Unreadable):
      raise answer
    return answer

  monkeypatch.setattr(videos_module, "seconds_of", seconds_of)
  source = folder("nowhere")
  with pytest.raises(Unreadable):
    source.seconds("some/a.mp4")
  assert source.seconds("some/a.mp4") == 2.5


def test_a_truncated_video_is_named_once(tmp_path, capsys):
  noise = np.random.default_rng(0).integers(0, 255, (100, 64, 64, 3), np.uint8)
  whole = encode(tmp_path / "a.mp4", pictures=noise, container_options={"movflags": "faststart"})
  whole.write_bytes(whole.read_bytes()[: int(0.45 * whole.stat().st_size)])
  (tmp_path / "b.mp4").write_bytes(encode(tmp_path / "b.mp4").read_bytes())
  source = folder(tmp_path)
  for index in range(60):
    source[index]
  said = capsys.readouterr().err
  assert said.count("\n") == 1 and "a.mp4" in said


def test_a_caption_that_cannot_be_read_costs_only_itself(tmp_path, video, capsys):
  for name in ("a", "b"):
    (tmp_path / f"{name}.mp4").write_bytes(video)
  (tmp_path / "a.txt").write_bytes("süß".encode("cp1252"))
  (tmp_path / "b.info.json").write_text("{")
  (tmp_path / "b.txt").write_text("a cat")
  source = folder(tmp_path)
  assert [source[index]["caption"] for index in range(2)] == ["", "a cat"]
  folder(tmp_path).prepare()
  said = capsys.readouterr().err.splitlines()
  assert sorted(line.split()[2] for line in said) == [f"{tmp_path}/a.txt", f"{tmp_path}/b.info.json"]


def test_one_channel_is_in_one_split(tmp_path, video):
  names = [{"channel_id": "UC7"}, {"channel": "Seven", "channel_id": "UC7"}, {"uploader": "seven"}]
  for number in range(60):
    (tmp_path / f"{number}.mp4").write_bytes(video)
    channel, info = divmod(number, 3)
    written = {
      key: value.replace("7", str(channel)).replace("even", str(channel))
      for key, value in names[info].items()
    }
    (tmp_path / f"{number}.info.json").write_text(json.dumps(written))
  splits = [
    {
      int(os.path.basename(path).split(".")[0]) // 3
      for path, _ in folder(tmp_path, held_out=0.2, split=s)._videos
    }
    for s in ("train", "test")
  ]
  assert splits[0] and splits[1] and not splits[0] & splits[1] and len(splits[0] | splits[1]) == 20


def test_the_scan_of_a_folder_reads_no_video(tmp_path, video, monkeypatch):
  (tmp_path / "a.mp4").write_bytes(video)
  monkeypatch.setattr(folder_module, "content_hashes", None)
  monkeypatch.setattr(
    "builtins.open",
    lambda path, *a, real=open, **k: real(path, *a, **k) if ".mp4" not in str(path) else 1 / 0,
  )
  assert set(folder(tmp_path).manifest()) == {"a.mp4"}
