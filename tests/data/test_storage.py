"""Videos at addresses: the same clips as on a disk, whatever lies beside them; faults as one line."""

import dataclasses
import functools
import http.server
import os
import threading

import fsspec
import numpy as np
import pytest

from stale_jax.data import Folder, content
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.sources.research_api import ResearchApi
from stale_jax.data.sources.shards import Shards, record, write_shards
from stale_jax.data.storage import beside, list_files, open_file, versions
from stale_jax.errors import UserError
from tests.data.clips import encode

EFFECTS = """<sem:SEM xmlns:sem="urn:mpeg:mpeg-v:2010:01-SEM-NS" xmlns:si="urn:mpeg:mpeg-v:2018:01-SI-NS"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:sev="urn:mpeg:mpeg-v:2018:01-SEV-NS"
 timeScale="10">
 <sem:Effect xsi:type="sev:WindType" si:pts="0" duration="8" intensity-value="50" intensity-range="0 100"/>
</sem:SEM>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Videos with a caption, metadata, sound and touch, in subfolders, some of them hidden."""
  path = tmp_path_factory.mktemp("videos")
  (path / "sub").mkdir()
  (path / ".hidden").mkdir()
  for name in ("b.mp4", "a.webm", "sub/c.mp4", ".hidden/d.mp4"):
    encode(path / name, "mpeg4" if name.endswith("4") else "libvpx-vp9", tones=(440,), sound_codec="libopus")
  (path / "b.txt").write_text("the first #one")
  (path / "b.sem.xml").write_text(EFFECTS)
  (path / "a.info.json").write_text('{"description": "the second", "uploader": "someone"}')
  return path


@pytest.fixture(scope="module")
def address(folder):
  """The same folder in the memory of fsspec."""
  system = fsspec.filesystem("memory")
  for path in folder.rglob("*"):
    if path.is_file():
      system.pipe(f"/videos/{path.relative_to(folder)}", path.read_bytes())
  return "memory://videos"


SETTINGS = {"frames": 4, "height": 16, "width": 16, "patch": (2, 8, 8), "touch": ("wind",), "held_out": 0.0}


def test_clips_are_those_on_a_disk(folder, address):
  here, there = (Folder(path=str(path), size=40, **SETTINGS) for path in (folder, address))
  assert len(here._videos) == len(there._videos) == 3
  for index in range(0, 40, 3):
    a, b = here[index], there[index]
    assert (a["caption"], a["labels"]) == (b["caption"], b["labels"])
    assert set(a["clip"]) == set(b["clip"])
    for name, values in a["clip"].items():
      np.testing.assert_array_equal(values, b["clip"][name])
  assert any("touch" in there[index]["clip"] for index in range(9))
  # Measured there too.
  here, there = (dataclasses.replace(one, buckets=((4, 16, 16), (4, 16, 24))) for one in (here, there))
  for a, b in zip(here._fitting, there._fitting, strict=True):
    np.testing.assert_array_equal(a, b)


def test_files_are_listed_in_one_order(folder, address):
  here, there = list_files(str(folder)), list_files(address)
  names = [path.removeprefix(str(folder)) for path in here]
  assert names == ["/a.info.json", "/a.webm", "/b.mp4", "/b.sem.xml", "/b.txt", "/sub/c.mp4"]
  assert [path.removeprefix(address) for path in there] == names


def test_large_files_are_read_in_parts(address, monkeypatch):
  monkeypatch.setattr("stale_jax.data.storage._WHOLE_BYTES", 1)
  with open_file(f"{address}/b.mp4") as file:
    whole = fsspec.filesystem("memory").cat("/videos/b.mp4")
    file.seek(len(whole) - 10)
    assert file.read() == whole[-10:]
  source = Folder(path=address, size=4, **SETTINGS)
  assert source[0]["clip"]["sight"].shape == (4, 16, 16, 3)


def test_lines_of_the_research_api_may_lie_there(folder, address):
  fsspec.filesystem("memory").pipe("/lines.jsonl", b'{"id": 7, "video_description": "seven"}\n')
  fsspec.filesystem("memory").pipe("/numbered/7.mp4", (folder / "b.mp4").read_bytes())
  source = ResearchApi(path="memory://numbered", lines="memory://lines.jsonl", size=4, **SETTINGS)
  assert source[0]["caption"] == "seven"


def test_the_hash_of_a_file_is_that_of_its_content_whatever_its_times(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(content, "_SETTLED", 0)  # So that the hash of a new file is kept.
  path, data = tmp_path / "caf\udce9.mp4", bytes(range(256)) * 2000

  def hashed():
    return content.content_hashes(str(tmp_path), [str(path), str(tmp_path / "none")])

  path.write_bytes(data)
  first = hashed()
  assert first[1] == "" and hashed() == first
  os.utime(path, (1, 1))
  assert hashed() == first
  # Another byte in the middle, with the size, the ends and the times of before.
  path.write_bytes(data[:200_000] + b"!" + data[200_001:])
  os.utime(path, (1, 1))
  changed = hashed()
  assert changed[0] not in ("", first[0]) and len(path.read_bytes()) == len(data)
  # A file that has not changed is not read again.
  monkeypatch.setattr(content.hashlib, "file_digest", None)
  assert hashed() == changed


def test_a_file_that_a_web_server_replaces_is_another_version(tmp_path):
  pytest.importorskip("aiohttp")
  (tmp_path / "a.mp4").write_bytes(b"one")
  os.utime(tmp_path / "a.mp4", (1, 1))

  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
      pass

  handler = functools.partial(Quiet, directory=str(tmp_path))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    [(name, before)] = versions(address).items()
    assert name == f"{address}/a.mp4" and versions(address) == {name: before}
    (tmp_path / "a.mp4").write_bytes(b"two")
    assert versions(address)[name] != before
    server.shutdown()


def test_links_to_folders_are_followed_once(tmp_path):
  (tmp_path / "in/a").mkdir(parents=True)
  (tmp_path / "out/deep").mkdir(parents=True)
  for name in ("in/a/x.mp4", "out/deep/y.mp4", "out/z.mp4"):
    (tmp_path / name).touch()
  (tmp_path / "in/0").symlink_to("a")  # A second way to a folder, and one that sorts before the first.
  (tmp_path / "in/a/up").symlink_to("..")  # A circle.
  (tmp_path / "in/b").symlink_to(tmp_path / "out")
  (tmp_path / "out/deep/back").symlink_to(tmp_path / "in")
  (tmp_path / "in/gone").symlink_to("nowhere")
  names = [os.path.relpath(path, tmp_path / "in") for path in list_files(str(tmp_path / "in"))]
  assert names == ["gone", "a/x.mp4", "b/z.mp4", "b/deep/y.mp4"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch, capsys):
  (tmp_path / "locked").mkdir()
  (tmp_path / "a.mp4").touch()
  scan = os.scandir

  def refuse(path):
    if str(path).endswith("locked"):
      raise PermissionError(13, "Permission denied", str(path))
    return scan(path)

  monkeypatch.setattr(os, "scandir", refuse)
  assert len(list_files(str(tmp_path))) == 1
  assert f"{tmp_path}/locked cannot be listed: Permission denied" in capsys.readouterr().err


def test_names_beside():
  assert beside("gs://a/b.c/d.mp4", ".txt") == "gs://a/b.c/d.txt"
  assert beside("gs://a/b.c/d", ".txt") == "gs://a/b.c/d.txt"


@pytest.mark.parametrize(
  ("path", "words"),
  [
    ("memory://nothing", "is not a folder"),
    ("nosuch://bucket/videos", "cannot be read: Protocol not known"),
    ("http://127.0.0.1:9/videos", "cannot be read|is not a folder"),
  ],
)
def test_what_is_no_address_of_a_folder_is_one_line(path, words):
  with pytest.raises(UserError, match=words):
    Folder(path=path, size=4, **SETTINGS)[0]


def test_a_file_that_has_gone_is_unreadable():
  from stale_jax.data.decode.video import probe

  with pytest.raises(Unreadable):
    probe("memory://videos/nothing.mp4")


def test_shards_are_copied_once(tmp_path, folder, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  examples = [(str(k), record((folder / "b.mp4").read_bytes(), {"caption": f"clip {k}"})) for k in range(3)]
  path = write_shards(tmp_path / "set", {"train": examples})
  system = fsspec.filesystem("memory")
  system.put(str(path), "/shards", recursive=True)
  fields = {name: SETTINGS[name] for name in ("frames", "height", "width", "patch")}
  here, there = (Shards(path=str(at), size=6, **fields) for at in (path, "memory://shards"))
  assert there[5]["caption"] == here[5]["caption"]
  np.testing.assert_array_equal(there[5]["clip"]["sight"], here[5]["clip"]["sight"])
  assert there.content() != here.content()  # Versions at the address, bytes on the disk.
  system.rm("/shards", recursive=True)
  [copy] = (tmp_path / "cache/stale_jax/data").iterdir()
  assert (copy / "dataset_info.json").exists() and not list(copy.rglob("*.partial"))
