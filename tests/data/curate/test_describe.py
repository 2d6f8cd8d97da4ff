"""What lies beside a video is joined, and no name of a person gets through."""

import json

import pytest

from stale_jax.data.curate.describe import describe_video, find_files, read_all_research, research_of
from stale_jax.data.curate.provenance import provenance
from stale_jax.errors import UserError

SALT = "salt of the test's"
ID = "7301234567890123456"
INFO = {
  "id": "99887766",
  "description": "Alice_W dances, ask @alice_w or aunt Alice Wonder #alice_w #dance",
  "extractor_key": "TikTok",
  "uploader": "Alice_W",
  "uploader_id": "alice_w",
  "channel": "Alice Wonder",
  "license": "CC-BY-4.0",
  "epoch": 1767225600,
  "track": "original sound - Alice_W",
  "webpage_url": "https://www.tiktok.com/@alice_w/video/99887766",
}
RESEARCH = {"id": int(ID), "video_description": "rain by bobby99", "username": "bobby99", "view_count": 5}


@pytest.fixture
def root(tmp_path):
  root = tmp_path / "in"
  (root / "alice_w").mkdir(parents=True)
  (root / "alice_w" / "one.mp4").write_bytes(b"1")
  (root / "alice_w" / "one.info.json").write_text(json.dumps(INFO))
  (root / f"tiktok_{ID}.mp4").write_bytes(b"22")
  (root / f"tiktok_{ID}.txt").write_text("a roof in the rain #wet")
  (root / "alice_w_3.mp4").write_bytes(b"333")
  (root / "broken.mp4").write_bytes(b"4")
  (root / "broken.info.json").write_text("{")
  (root / "videos.jsonl").write_text(json.dumps(RESEARCH) + "\n{\n")
  (root / "rights.json").write_text(json.dumps({"license": "all rights reserved", "consent_basis": "asked"}))
  (root / "alice_w" / "rights.json").write_text(json.dumps({"consent_basis": "contract"}))
  (root / ".hidden.mp4").write_bytes(b"5")
  return root


def described(root):
  files, papers = find_files(root, root / "out")
  research, broken = read_all_research(papers)
  assert broken == 1
  return {f.path: describe_video(str(root), f, research_of(f, research), SALT) for f in files}


def test_sidecars_are_joined(root):
  got = described(root)
  assert list(got) == ["alice_w/one.mp4", "alice_w_3.mp4", "broken.mp4", f"tiktok_{ID}.mp4"]
  one, third, broken, rain = got.values()
  assert one["license"] == "CC-BY-4.0" and one["consent_basis"] == "contract"
  assert one["collected_at"] == "2026-01-01" and one["platform"] == "tiktok" and one["hashtags"] == ["dance"]
  assert one["caption"] == "@ dances, ask @ or aunt @ @ #dance".replace("@ #dance", "#@ #dance")
  assert third["license"] == "all rights reserved" and not third["caption"] and not third["broken"]
  assert broken["broken"] and broken["consent_basis"] == "asked"
  assert rain["caption"] == "a roof in the rain #wet" and rain["counts"] == {"views": 5}
  assert rain["source"] == f"tiktok:{ID}" and rain["uploader"] and rain["hashtags"] == ["wet"]


def test_no_name_gets_through(root):
  got = described(root)
  text = json.dumps(list(got.values())).lower()
  for name in ("alice", "bobby99", "wonder"):
    assert name not in text
  # One person has one hash, which depends on the salt.
  one = got["alice_w/one.mp4"]["uploader"]
  files, _ = find_files(root, root / "out")
  assert describe_video(str(root), files[0], "", SALT)["uploader"] == one
  assert describe_video(str(root), files[0], "", SALT + "!")["uploader"] not in ("", one)
  assert len({f.identity(SALT) for f in files} | {f.identity(SALT + "!") for f in files}) == 8


@pytest.mark.parametrize(
  "text", ['{"licence": "MIT"}', "{", "[]", '{"license": 3}', '{"ai_generated_flag": "no"}']
)
def test_rights_that_are_not_understood_are_an_error(root, text):
  (root / "rights.json").write_text(text)
  with pytest.raises(UserError, match="rights.json"):
    provenance(root / "alice_w_3.mp4", str(root))


def test_metadata_in_another_encoding_are_refused_by_name_and_the_rest_is_read(root, capsys):
  (root / "alice_w" / "one.info.json").write_bytes(json.dumps(INFO, ensure_ascii=False).encode("utf-16"))
  (root / "alice_w" / "one.txt").write_bytes("süß".encode("cp1252"))
  (root / "alice_w" / "rights.json").write_bytes(json.dumps({"consent_basis": "süß"}).encode("utf-16"))
  one = described(root)["alice_w/one.mp4"]
  assert one["broken"] and one["caption"].startswith("@ dances") and one["platform"] == "tiktok"
  assert one["consent_basis"] == "süß" and one["license"] == "CC-BY-4.0"
  said = capsys.readouterr().err
  assert said.count("one.txt is not UTF-8 text") == 1 and "one.info.json" not in said


def test_accounts_are_hashes_and_those_of_all_sources_are_joined(root):
  (root / f"tiktok_{ID}.info.json").write_text(json.dumps({"channel_id": "UC-rain", "uploader": "@Bobby99"}))
  got = described(root)
  rain, one = got[f"tiktok_{ID}.mp4"], got["alice_w/one.mp4"]
  assert len(rain["accounts"]) == 2 and len(one["accounts"]) == 2  # Alice_W and alice_w are one name.
  assert {len(account) for account in rain["accounts"] + one["accounts"]} == {32}
  assert not set(rain["accounts"]) & set(one["accounts"])


def test_links_to_folders_are_followed_but_not_into_the_output(root, tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "elsewhere" / "far.mp4").write_bytes(b"6")
  (root / "linked").symlink_to(tmp_path / "elsewhere")
  (root / "linked" / "back").symlink_to(root)
  (root / "out" / "work").mkdir(parents=True)
  (root / "out" / "work" / "scratch.mp4").write_bytes(b"7")
  (root / "again").symlink_to(root / "out")
  names = [file.path for file in find_files(root, root / "out")[0]]
  assert names == ["alice_w/one.mp4", "alice_w_3.mp4", "broken.mp4", "linked/far.mp4", f"tiktok_{ID}.mp4"]


def test_nothing_to_curate_is_an_error(tmp_path):
  for folder in (tmp_path, tmp_path / "none"):
    with pytest.raises(UserError):
      find_files(folder, tmp_path / "out")
