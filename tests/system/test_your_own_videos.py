"""docs/your_own_videos.md does what it says: its commands are run in their order, on videos really encoded.

What differs from what a reader types are the last flags of some (MORE), which make models and measurements
small, a tenth of the steps, and the salt, which the document's own run had too: so the splits are the same.
"""

import base64
import html.parser
import json
import re
import shlex
import subprocess

import numpy as np
import pytest

from stale_jax import load
from stale_jax.data import Shards
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import probe
from stale_jax.data.sources.shards import record, write_shards
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.media import read_arrays
from stale_jax.testing.scenes import Change, scene
from tests import micro
from tests.data.clips import encode
from tests.programs import ROOT, finish

pytestmark = pytest.mark.slow

DOCUMENT = ROOT / "docs" / "your_own_videos.md"
STEPS = 10  # The document's, to one of the test's.
_MODEL = micro.SIZES
_SIZES = {**_MODEL, "source.height": 16, "source.width": 16, "training.batch": 4, "sampling.steps": 2}
MORE = {
  "train": [f"--config.{key}={value}" for key, value in _SIZES.items()],
  "curate": ["--salt=salt", "--workers=1"],
  "evaluate": ["--clips=4"],
  "generate": [],
}
SALT = "a salt of the test's, 28"
# NAME -> its uploader, "" for a video of one's own. All are seen and heard, for two seconds.
GOOD = {
  "7300000000000000001": "alice_w",
  "7300000000000000002": "alice_w",
  "7300000000000000003": "bobby99",
  "7300000000000000004": "carla.k",
  "beach": "",
  "kitchen": "",
}
KINDS = ("pan", "hand", "objects", "zoom", "pan", "fast")
TAKEN_DOWN, AGAIN = "7300000000000000002", "7300000000000000005"


def write_videos(folder):
  """Nine files: six videos, one of them again, a photograph, and one that is cut off."""
  folder.mkdir()
  frames = {}
  for seed, (name, kind) in enumerate(zip(GOOD, KINDS, strict=True)):
    frames[name] = scene(kind, 2, seed, 96, 160)
    _write(folder / f"{name}.mp4", frames[name], 220 * 2 ** (seed / 3))
  _write(folder / f"{AGAIN}.mp4", Change(scale=0.75, gain=1.1)(frames[TAKEN_DOWN]), 440)
  _write(folder / "photograph.mp4", scene("static", 2, 7, 96, 160), 440)
  (folder / "cut_off.mp4").write_bytes((folder / "beach.mp4").read_bytes()[:5000])
  for number, (name, uploader) in enumerate({**GOOD, AGAIN: "dora_x"}.items()):
    if uploader:
      info = {
        "id": name,
        "extractor_key": "TikTok",
        "webpage_url": f"https://www.tiktok.com/@{uploader}/video/{name}",
        "uploader_id": uploader,
        "description": f"shapes that move #shapes @{uploader}",
        "view_count": 10**number,
        "license": "CC-BY-4.0",
      }
      (folder / f"{name}.info.json").write_text(json.dumps(info))


def _write(path, pictures, tone):
  sizes = {"height": pictures.shape[1], "width": pictures.shape[2]}
  sound = {"tones": (tone,), "sound_seconds": len(pictures) / 24}
  encode(path, pictures=list(pictures), rate=24, options={"crf": "23"}, **sizes, **sound)


def sections():
  """Of the document: heading -> its blocks, each ("sh", commands) or ("text", what they say)."""
  found, heading = {}, r"^#+ (.*)$"
  _, *parts = re.split(heading, DOCUMENT.read_text(), flags=re.MULTILINE)
  for name, body in zip(parts[::2], parts[1::2], strict=True):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    assert body.count("```") == 2 * len(blocks) and {kind for kind, _ in blocks} <= {"sh", "text"}
    found |= {name: blocks} if blocks else {}
  return found


def follow(blocks, folder):
  """Runs the commands, which must say what the document says they do; returns all they say."""
  every = said = ""
  for kind, body in blocks:
    if kind == "sh":
      exactly = "experiments.curate" in body
      said = "".join(run(command, folder) for command in body.replace("\\\n", " ").splitlines())
      every += said
    else:
      assert same(body, said, exactly), (body, said)
  return every


def run(command, folder):
  """What it prints; a program's is of a small model."""
  words = shlex.split(command)
  if words[:2] != ["python", "-m"]:
    return subprocess.run(
      ["sh", "-ec", command], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
  name, flags = words[2].removeprefix("experiments."), words[3:]
  fewer = re.compile(r"(--config\.training\.(?:steps|checkpoint_every))=(\d+)")
  flags = [fewer.sub(lambda found: f"{found[1]}={int(found[2]) // STEPS}", flag) for flag in flags]
  code, out, err = finish(name, *flags, *MORE[name], cwd=folder, limit=900)
  assert code == 0, (command, err)
  return out + err


def same(shown, said, exactly):
  """Whether each line of `shown` is printed; "..." is anything and, if not exactly, a number is any."""
  for line in shown.splitlines():
    pattern = ".*".join(re.escape(part) for part in line.split("..."))
    pattern = pattern if exactly else re.sub(r"\d+", "[0-9]+", pattern)
    if not re.search(f"^{pattern}$", said, re.MULTILINE):
      return False
  return True


class _Page(html.parser.HTMLParser):
  """What a page says, and the addresses of what it shows."""

  def __init__(self, page):
    super().__init__()
    self.words, self.shown = [], []
    self.feed(page.read_text())
    self.close()

  def handle_starttag(self, tag, attributes):
    self.shown += [(tag, value) for name, value in attributes if name in ("src", "href")]

  def handle_data(self, data):
    self.words.append(data)


def shows(page, *words):
  """The videos in it, nothing of which lies outside."""
  page = _Page(page)
  assert all(any(word in said for said in page.words) for word in words), words
  assert page.shown and all(address.startswith("data:") for _, address in page.shown)
  return [base64.b64decode(address.partition(",")[2]) for tag, address in page.shown if tag == "video"]


def records(split, data):
  """Of the data set in the folder `data`: id of the video -> its clip, what is known of it."""
  source = Shards(path=str(data), split=split)
  every = [source._records[which] for which in range(source.count())]
  known = [json.loads(each["metadata"]) for each in every]
  assert len({each["source_id"] for each in known}) == len(every)
  return {k["source_id"]: (each["video"], k) for each, k in zip(every, known, strict=True)}


def poison(data, folder):
  """Leaves of the clip to be taken down only what whoever reads it complains of."""
  found = {split: records(split, data) for split in ("train", "test")}
  found["train"][TAKEN_DOWN] = (b"poison", found["train"][TAKEN_DOWN][1])
  splits = {split: [(k["id"], record(clip, k)) for clip, k in of.values()] for split, of in found.items()}
  made = write_shards(folder, splits)
  data.rename(folder / "before")
  made.rename(data)


def test_the_document_does_what_it_says(tmp_path):
  write_videos(tmp_path / "videos")
  (tmp_path / "configs").symlink_to(ROOT / "configs")
  (tmp_path / "salt").write_text(SALT + "\n")
  left, data = sections(), tmp_path / "data/clips/1.0.0"

  def go(name):
    return follow(left.pop(name), tmp_path)

  go("The folder")
  go("Curate")
  clips = {split: records(split, data) for split in ("train", "test")}
  assert len(clips["train"]) == 4 and len(clips["test"]) == 2
  every = clips["train"] | clips["test"]
  assert {name for name in every if name.startswith("7")} == {name for name in GOOD if name.startswith("7")}
  known = [about for _, about in every.values()]
  assert all(about["has_sound"] and about["license"] == "CC-BY-4.0" for about in known)
  captions = sorted(about["caption"] for about in known)
  assert captions == ["", *4 * ["shapes that move #shapes @"], "waves come in on a beach at dusk"]
  words = "truncated or damaged", "near-duplicate", "static", "their uploaders were asked", "with sound"
  assert not shows(tmp_path / "data/card.html", *words)

  go("Train")
  weights = (tmp_path / "runs/mine/weights.safetensors").read_bytes()
  go("Go on")
  assert (tmp_path / "runs/mine/weights.safetensors").read_bytes() != weights

  go("Measure")
  model = load(tmp_path / "runs/mine")
  assert np.isfinite(model.scores["denoising"]["loss"])
  for name in ("captions", "contamination", "dynamics", "labels"):
    with pytest.raises(UserError):
      SUITES[name].measure(model, seed=0)

  go("Generate")
  stem = tmp_path / "movies/waves-come-in-on-a-beach-at-dusk-0"
  clip, video = read_arrays(stem)[0], stem.with_suffix(".mp4")
  assert clip["sight"].shape == (8, 16, 16, 3) and clip["sound"].shape == (8, 12)
  assert clip["sight"].std() > 0 and clip["sound"].std() > 0
  about = probe(video)
  assert about.has_sound and about.rate == 8 and about.seconds == pytest.approx(1, abs=0.05)
  assert np.abs(read_sound(video, 16_000, 0, 1)).max() > 0.01
  assert shows(tmp_path / "movies/index.html", "waves come in on a beach at dusk") == [video.read_bytes()]

  go("Three stages")
  stages = [tmp_path / "runs" / stage / "weights.safetensors" for stage in ("images", "video", "fine")]
  assert all(stage.exists() for stage in stages)

  poison(data, tmp_path / "poison")
  source = Shards(path=str(data))
  assert b"poison" in [source.find(which)[0] for which in range(source.count())]
  (tmp_path / "runs/mine/data.json.gz").unlink()  # The run would refuse data that have changed.
  said = go("Take a video down")
  assert "runs/mine at step 4" in said and "left out:" not in said
  left_over = records("train", data) | records("test", data)
  assert left_over.keys() == every.keys() - {TAKEN_DOWN}
  assert not left
