"""From a folder of videos, good, bad and broken, to shards and a card, killed on the way; and misuse."""

import json
import os
import signal
import time

import numpy as np
import pytest

from stale_jax.data import Shards
from stale_jax.testing.corrupt_files import kinds
from stale_jax.testing.scenes import Change, scene, write
from tests.programs import finish, start

SIZE = (96, 160)
PEOPLE = ("alice_w", "bobby99")


def info(path, uploader, **more):
  about = {
    "id": path.stem,
    "extractor_key": "TikTok",
    "uploader_id": uploader,
    "description": f"by @{uploader}",
  }
  path.with_suffix(".info.json").write_text(json.dumps({**about, **more}))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
  """Six videos: two scenes, one again, a photograph, the dark, and one of its own; eleven broken ones."""
  root = tmp_path_factory.mktemp("videos") / "in"
  (root / "broken").mkdir(parents=True)
  (root / "salt").write_text("a salt of the test's\n")
  two = np.concatenate([scene("pan", 1.3, 1, *SIZE), scene("objects", 1.3, 2, *SIZE)])
  again = Change(scale=0.75, gain=1.1, crf=30)
  for name, frames in (
    ("two", two),
    ("again", again(two)),
    ("photograph", scene("static", 1.3, 3, *SIZE)),
    ("night", scene("dark", 1.3, 4, *SIZE)),
    ("hand", scene("hand", 1.3, 5, *SIZE)),
    ("zoom", scene("zoom", 1.3, 6, *SIZE)),
  ):
    write(root / f"{name}.mp4", frames)
  info(root / "two.mp4", PEOPLE[0], license="CC-BY-4.0")
  info(root / "again.mp4", PEOPLE[1])
  info(root / "hand.mp4", PEOPLE[1])
  (root / "zoom.txt").write_text("a <b>zoom</b>" + 100 * "m")
  (root / "rights.json").write_text('{"consent_basis": "asked"}')
  made = kinds((root / "hand.mp4").read_bytes(), np.random.default_rng(0))
  for name, make in made.items():
    (root / "broken" / f"{name}.mp4").write_bytes(make())
  os.rename(root / "zoom.mp4", os.fsencode(root) + b"/zoom\xff\n.mp4")  # Names may have any bytes.
  os.rename(root / "zoom.txt", os.fsencode(root) + b"/zoom\xff\n.txt")
  os.mkfifo(root / "broken" / "pipe.mp4")  # To read it would be to wait for ever.
  return root


def flags(root, output, *more):
  return [f"--input={root}", f"--output={output}", f"--salt={root / 'salt'}", "--test_share=0.4", *more]


def tree(folder):
  """Of every file its bytes."""
  return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def curated(videos, tmp_path_factory):
  output = tmp_path_factory.mktemp("curated") / "out"
  code, out, err = finish("curate", *flags(videos, output, "--workers=1"))
  assert code == 0, err
  return output, json.loads(out.splitlines()[-1])


def test_every_file_and_clip_is_accounted_for(curated):
  output, counts = curated
  assert json.loads((output / "counts.json").read_text()) == counts
  assert counts["long_captions"] == {"95": 1, "511": 0}
  # The salt is no video either.
  assert counts["files"] == 17 and counts["videos"] == 6 and sum(counts["unreadable"].values()) == 11
  assert set(counts["unreadable"]) >= {"empty", "not_a_video", "truncated"}
  assert counts["cuts"] == 2 and counts["clips"] == 8 and counts["clusters"] == 2
  assert counts["left_out"] == {"dark": 1, "static": 1, "duplicate": 2}
  assert counts["kept"] == 4 == counts["train"] + counts["test"]
  both = counts["contamination"]
  assert both["uploaders"] == both["videos"] == both["clusters"] == both["near_duplicates"] == 0


def test_shards_are_read_and_no_name_is_in_them(curated, tmp_path):
  output, counts = curated
  seen, clips = [], []
  for split in ("train", "test"):
    if counts[split]:
      source = Shards(path=str(output / "clips/1.0.0"), split=split, frames=8, height=32, width=32, size=9)
      assert source.count() == counts[split]
      clips += [source._records[i] for i in range(counts[split])]
      seen.append(source[0]["clip"]["sight"])
  assert all(clip.shape == (8, 32, 32, 3) and clip.std() > 0.1 for clip in seen)
  metadata = [json.loads(clip["metadata"]) for clip in clips]
  assert {m["consent_basis"] for m in metadata} == {"asked"}
  assert {m["license"] for m in metadata} == {"CC-BY-4.0", ""}
  assert {m["caption"] for m in metadata} == {"by @", "a <b>zoom</b>" + 100 * "m"}
  for m in metadata:
    assert {"clip_start", "clip_end", "dedup_cluster", "sense_label_source", "url", "motion"} <= set(m)
    assert m["height"] == 96 and m["frames"] >= 24 and len(m["uploader"]) in (0, 32)
  published = {name: data for name, data in tree(output).items() if not name.startswith("work")}
  for person in PEOPLE:
    assert not any(person.encode() in data for data in published.values())
  # What is taken down is not read any more.
  hand = next(m for m in metadata if m["source_id"] == "hand")
  (tmp_path / "down.txt").write_text(hand["uploader"] + "\n")
  for split in ("train", "test"):
    if counts[split]:
      path = str(output / "clips/1.0.0")
      source = Shards(path=path, split=split, takedown=str(tmp_path / "down.txt"))
      left = [source.find(i) for i in range(counts[split])]
      assert all(found is None or found[1].uploader != hand["uploader"] for found in left)


def test_the_card_says_it_all(curated):
  page = (curated[0] / "card.html").read_text()
  assert "a &lt;b&gt;zoom" in page and "<b>zoom" not in page and page.count("data:image/jpeg") >= 20
  for words in (
    "near-duplicate",
    "truncated",
    "CC-BY-4.0",
    "consent basis",
    "asked",
    "uploaders in both",
    "more than 95 bytes",
  ):
    assert words in page
  assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_same_bytes_and_does_nothing_twice(videos, curated, tmp_path):
  output = tmp_path / "out"

  def finished():
    """What is finished is remembered, by a file that is named for it."""
    named = [p for kind in ("examined", "encoded") for p in output.glob(f"work/{kind}/*/*.json")]
    made = [q for p in named for q in (p, p.with_suffix(".mp4")) if q.exists()]
    return {path: path.stat().st_mtime_ns for path in made}

  done = {}
  for kind, enough in (("examined", 3), ("encoded", 1)):
    program = start("curate", *flags(videos, output, "--workers=1"))
    try:
      end = time.monotonic() + 120
      while len([p for p in finished() if kind in str(p)]) < enough:
        assert program.poll() is None and time.monotonic() < end, program.communicate()[0]
        time.sleep(0.005)
    finally:
      program.send_signal(signal.SIGKILL)
      program.communicate()
    assert not (output / "counts.json").exists()
    assert done.items() <= finished().items()
    done = finished()
  code, _, err = finish("curate", *flags(videos, output, "--workers=2"))
  assert code == 0, err
  assert done.items() <= finished().items()
  assert tree(output) == tree(curated[0])
  # Once more, there is nothing left to do.
  before = {p: p.stat().st_mtime_ns for p in (output / "clips").rglob("*")} | finished()
  code, out, err = finish("curate", *flags(videos, output, "--workers=1"))
  assert code == 0 and json.loads(out.splitlines()[-1]) == curated[1], err
  assert (
    before.items() <= ({p: p.stat().st_mtime_ns for p in (output / "clips").rglob("*")} | finished()).items()
  )


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--input={none}", "--output={new}"], "is not a folder"),
    (["--input={empty}", "--output={new}"], "no videos in"),
    (["--input={videos}", "--output={videos}"], "choose another folder"),
    (["--input={videos}", "--output={videos}/salt/x"], "cannot write"),
    (["--input={videos}", "--output={new}", "--salt={none}"], "salt"),
    (["--input={videos}", "--output={new}", "--captioner=tests:nobody"], "there is no captioner"),
    (["--input={videos}", "--output={new}", "--most_text=2"], "most_text=2"),
    (["--input={videos}", "--output={new}", "--beam=--runner=Flink", "--workers=2"], "leave out --workers"),
    (["--output={new}"], "--input"),
    (["--input={videos}", "--output={new}", "--beam=--runner=Flunk"], "Flunk"),
  ],
)
def test_misuse_is_one_line_and_leaves_nothing(videos, tmp_path, arguments, words):
  (tmp_path / "empty").mkdir()
  places = {"videos": videos, "new": tmp_path / "new", "none": tmp_path / "none", "empty": tmp_path / "empty"}
  arguments = [argument.format(**places) for argument in arguments]
  if not any(a.startswith("--salt") for a in arguments):
    arguments.append(f"--salt={videos / 'salt'}")
  code, out, err = finish("curate", *arguments)
  assert code == 2, (out, err)
  assert err.startswith("error: ") and err.count("\n") == 1 and words in err
  assert not (tmp_path / "new").exists()
