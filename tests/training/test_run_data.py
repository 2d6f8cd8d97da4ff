"""A resumed run finds out whether its data have changed, and names what has."""

import gzip
import json
import os

import fsspec
import jax
import numpy as np
import pytest

from configs import folder as folder_config
from stale_jax.checkpoints.weights import save_weights
from stale_jax.config import build
from stale_jax.config.latents import build_latents
from stale_jax.data import Digits, Folder, Shards
from stale_jax.data.metadata import share_of
from stale_jax.data.sources.mixture import Mixture
from stale_jax.data.sources.shards import record, write_shards
from stale_jax.errors import UserError
from stale_jax.files import at
from stale_jax.pipeline import load
from stale_jax.run import train
from stale_jax.training.initial import init_params
from stale_jax.training.run_data import describe_changes, keep_manifest
from tests import micro
from tests.data.clips import encode
from tests.system.test_folder import SMALL

SETTINGS = {"frames": 4, "height": 16, "width": 16, "patch": (2, 8, 8), "held_out": 0.0, "hearing": False}
NAMES = ("a.mp4", "b.mp4", "sub/c.mp4")


@pytest.fixture
def videos(tmp_path):
  path = tmp_path / "videos"
  (path / "sub").mkdir(parents=True)
  data = encode(tmp_path / "a.mp4", height=16, width=16).read_bytes()
  for name in NAMES:
    (path / name).write_bytes(data)
    (path / name).with_suffix(".txt").write_text(name)
    os.utime(path / name, (1, 1))
  return path


def folder(path, **fields) -> Folder:
  return Folder(path=str(path), size=8, **{**SETTINGS, **fields})


def add(path):
  (path / "aa.mp4").write_bytes((path / "a.mp4").read_bytes())


def remove(path):
  (path / "b.mp4").unlink()


def replace(path):
  """Another video of the same size."""
  data = bytearray((path / "b.mp4").read_bytes())
  data[len(data) // 2] ^= 1
  (path / "b.mp4").write_bytes(data)


def caption(path):
  (path / "sub/c.txt").write_text("another")


CHANGES = [
  (add, "1 added (aa.mp4)"),
  (remove, "1 removed (b.mp4)"),
  (replace, "1 changed (b.mp4)"),
  (caption, "1 changed (sub/c.mp4)"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=lambda x: getattr(x, "__name__", None))
def test_what_has_changed_is_named_and_refused(videos, tmp_path, change, words):
  said = []
  workdir = at(tmp_path)
  for _ in range(2):
    keep_manifest(folder(videos), workdir, False, said.append)
  kept = (tmp_path / "data.json.gz").read_bytes()
  change(videos)
  with pytest.raises(UserError) as caught:
    keep_manifest(folder(videos), workdir, False, said.append)
  assert f"have changed since it began: {words}. " in str(caught.value) and "new_data=True" in str(
    caught.value
  )
  assert (tmp_path / "data.json.gz").read_bytes() == kept and not said
  keep_manifest(folder(videos), workdir, True, said.append)
  assert len(said) == 1 and words in said[0]
  keep_manifest(folder(videos), workdir, False, said.append)
  assert len(said) == 1


def test_what_is_not_read_is_no_change(videos, tmp_path):
  workdir = at(tmp_path)
  keep_manifest(folder(videos), workdir, False, print)
  (videos / "notes.md").write_text("of the user")
  (videos / "a.npz").write_bytes(b"a track, but no sense of touch is asked for")
  keep_manifest(folder(videos), workdir, False, print)
  videos.rename(tmp_path / "moved")
  keep_manifest(folder(tmp_path / "moved"), workdir, False, print)


def test_tracks_are_data_where_they_are_read(videos, tmp_path):
  workdir = at(tmp_path)
  source = {"path": videos, "touch": ("wind",)}
  keep_manifest(folder(**source), workdir, False, print)
  (videos / "a.npz").write_bytes(b"a track")
  with pytest.raises(UserError, match=r"1 changed \(a.mp4\)"):
    keep_manifest(folder(**source), workdir, False, print)


def test_a_video_of_the_other_split_changes_nothing(videos):
  share = 1.01 * min(share_of(name) for name in ("a", "b", "c"))  # One of the three is for testing.
  before = folder(videos, held_out=share).manifest()
  new = next(f"{number}.mp4" for number in range(1000) if share_of(str(number)) < share)
  (videos / new).write_bytes((videos / "a.mp4").read_bytes())
  assert len(before) == 2 and folder(videos, held_out=share).manifest() == before
  assert new in folder(videos, held_out=share, split="test").manifest()


def test_settings_alone_leave_no_record(tmp_path):
  keep_manifest(Digits(), at(tmp_path), False, print)
  assert not list(tmp_path.iterdir())


def test_a_record_that_is_broken_is_one_line(videos, tmp_path):
  (tmp_path / "data.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
  with pytest.raises(UserError, match="data.json.gz, the record of the run's data, cannot be read"):
    keep_manifest(folder(videos), at(tmp_path), False, print)


def test_a_run_s_folder_whose_name_is_not_utf8_is_refused(tmp_path):
  with pytest.raises(UserError, match="is not valid UTF-8"):
    at(tmp_path / "r\udce9n")


def test_many_changes_are_counted_and_some_named():
  before = {f"{number:03}.mp4": "x" for number in range(100)}
  assert describe_changes(before, {"099.mp4": "y", "new.mp4": "x"}) == (
    "1 added (new.mp4), 99 removed (000.mp4, 001.mp4, 002.mp4, ...), 1 changed (099.mp4)"
  )


def test_the_data_of_every_source_are_recorded(videos, tmp_path):
  examples = [
    (name, record((videos / name).read_bytes(), {"caption": name, "source_id": name})) for name in NAMES
  ]
  path = write_shards(tmp_path / "set", {"train": examples})
  fields = {name: value for name, value in SETTINGS.items() if name != "held_out"}
  (tmp_path / "down.txt").write_text("a.mp4")
  shards = Shards(path=str(path), size=8, **fields)
  down = Shards(path=str(path), size=8, takedown=str(tmp_path / "down.txt"), **fields)
  assert any("array_record" in name for name in shards.manifest()) and down.manifest() == shards.manifest()
  mixture = Mixture(parts=(folder(videos), shards), names=("one", "two"), weights=(1.0, 1.0))
  assert mixture.manifest().keys() == {
    *(f"one: {name}" for name in NAMES),
    *(f"two: {name}" for name in shards.manifest()),
  }
  before = mixture.manifest()
  [first, *_] = path.glob("*.array_record*")
  first.write_bytes(first.read_bytes() + b"!")
  mixture = Mixture(parts=(folder(videos), shards), names=("one", "two"), weights=(1.0, 1.0))
  assert describe_changes(before, mixture.manifest()) == f"1 changed (two: {first.name})"


def test_files_at_addresses_are_recorded_by_their_versions(videos):
  system = fsspec.filesystem("memory")
  for name in NAMES:
    system.pipe(f"/recorded/{name}", (videos / name).read_bytes())
  before = folder("memory://recorded").manifest()
  assert before.keys() == set(NAMES) and folder("memory://recorded").manifest() == before
  # The same bytes, written again.
  system.pipe("/recorded/b.mp4", (videos / "b.mp4").read_bytes())
  assert describe_changes(before, folder("memory://recorded").manifest()) == "1 changed (b.mp4)"


OF_LATENTS = {**SETTINGS, "frames": 5, "patch": (1, 4, 4)}


@pytest.fixture(scope="module")
def coders(tmp_path_factory):
  videos = tmp_path_factory.mktemp("videos")
  encode(videos / "a.mp4", height=16, width=16)
  section = {"name": "folder", "path": str(videos), **OF_LATENTS}
  config = {
    "senses": ("sight",),
    "source": section,
    "model": {"name": "autoencoder", "width": 8, "channels": 3},
    "objective": {"adversarial": 0.0},
  }
  paths = []
  for seed in range(2):
    paths.append(tmp_path_factory.mktemp("coders") / "weights.safetensors")
    save_weights(paths[-1], init_params(build(config), jax.random.key(seed)), config)
  return paths


def latents(videos, coder, cache):
  section = {"name": "folder", "path": str(videos), **OF_LATENTS}
  return build_latents({"source": section, "autoencoder": str(coder), "cache": str(cache), "size": 6})


@pytest.mark.parametrize("change", [replace, caption, remove, add])
def test_latents_are_encoded_again_when_their_data_change(videos, tmp_path, coders, change, capsys):
  coded = latents(videos, coders[0], tmp_path / "cache")
  captions = [coded[index]["caption"] for index in range(6)]
  assert captions == 2 * list(NAMES)
  assert "encoding 6 clips" in capsys.readouterr().out
  latents(videos, coders[0], tmp_path / "cache").prepare()
  assert "encoding" not in capsys.readouterr().out
  status = (videos / "b.mp4").stat()
  change(videos)
  if change is replace:  # With the size and the time of the old one, and the same ends.
    os.utime(videos / "b.mp4", ns=(status.st_atime_ns, status.st_mtime_ns))
  coded = latents(videos, coders[0], tmp_path / "cache")
  coded.prepare()
  assert "encoding 6 clips" in capsys.readouterr().out
  want = [folder(videos)[index]["caption"] for index in range(6)]
  assert [coded[index]["caption"] for index in range(6)] == want
  assert not list((tmp_path / "cache").glob("*.lock"))


def test_content_is_that_of_videos_labels_and_tracks(videos):
  def contents():
    return [folder(videos).content(), folder(videos, touch=("wind",)).content()]

  before = contents()
  assert contents() == before
  (videos / "a.info.json").write_text('{"view_count": 5}')
  labelled = contents()
  (videos / "a.sem.xml").write_text("a track")
  tracked = contents()
  assert all(a != b for a, b in zip(before, labelled, strict=True))
  assert tracked[0] == labelled[0] and tracked[1] != labelled[1]


def test_an_autoencoder_is_data_of_its_latents(videos, tmp_path, coders):
  first, second = (latents(videos, coder, tmp_path / "cache").manifest() for coder in coders)
  assert first.keys() == {*NAMES, "the autoencoder"}
  assert describe_changes(first, second) == "1 changed (the autoencoder)"


def test_a_run_is_not_resumed_on_other_data_unless_told_so(videos, tmp_path, capsys):
  config = folder_config.get_config()
  values = {**micro.SIZES, **SMALL, "source.path": str(videos), "senses": ("sight",), "source.hearing": False}
  config.update_from_flattened_dict({**values, "objective.weights": {}, "training.steps": 2})
  config.training.checkpoint_every = 2
  workdir = tmp_path / "run"
  train(config.to_dict(), workdir)
  before = {path: path.read_bytes() for path in workdir.glob("*.json*")}
  assert set(json.loads(gzip.decompress((workdir / "data.json.gz").read_bytes()))) == set(NAMES)
  add(videos)
  config.training.steps = 3
  with pytest.raises(UserError, match=r"1 added \(aa.mp4\)"):
    train(config.to_dict(), workdir)
  assert {path: path.read_bytes() for path in workdir.glob("*.json*")} == before
  config.training.new_data = True
  (videos / "b.txt").write_text("long " * 30)
  (videos / "aa.txt").write_text("")
  capsys.readouterr()
  state = train(config.to_dict(), workdir)
  said = capsys.readouterr().out
  assert int(state.step) == 3 and np.isfinite(jax.tree.leaves(state.ema)[0]).all()
  assert "1 added (aa.mp4), 1 changed (b.mp4)" in said and "1 of 4 examples have none" in said
  assert "1 of 4 are longer than 95 bytes, the longest has 149" in said
  assert load(str(workdir)).generate("", steps=2).clip["sight"].shape == (4, 16, 16, 3)
