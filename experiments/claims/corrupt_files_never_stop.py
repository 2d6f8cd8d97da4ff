"""10,000 broken files among the videos are all counted, each with a reason, and change nothing else.

The files have the suffixes of videos. They are empty; consist of zeros, of random bytes, or of the beginning
of a video and then random bytes; are truncated videos; or are texts, pictures, archives, playlists or
decompression bombs (with huge frames, many hours or many frames). Value: the share of them that is counted as
unreadable. Bar: 1. The shards must be byte for byte those made without the broken files.
"""

BROKEN, VIDEOS = 10_000, 6


def measure(seed: int) -> dict:
  import json
  import tempfile
  import time
  from pathlib import Path

  from stale_jax.data.curate import Settings
  from stale_jax.data.curate.run import curate
  from stale_jax.testing import scenes
  from stale_jax.testing.corrupt_files import plant_corrupt

  with tempfile.TemporaryDirectory() as folder:
    root, outputs = Path(folder) / "in", [Path(folder) / name for name in ("without", "among")]
    (root / "good").mkdir(parents=True)
    for i in range(VIDEOS):
      frames = scenes.scene(scenes.GOOD[i], 1.5, seed * 100 + i, 96, 160)
      scenes.write(root / "good" / f"{i}.mp4", frames)
    ask = {"settings": Settings(), "salt": "a salt of the claim's", "say": print}
    alone = curate(root, outputs[0], **ask)["counts"]
    truth = plant_corrupt(root, BROKEN, (root / "good" / "0.mp4").read_bytes(), seed)
    start = time.monotonic()
    counts = curate(root, outputs[1], **ask)["counts"]
    seconds = time.monotonic() - start
    lines = (outputs[1] / "work" / "files.jsonl").read_text().splitlines()
    same = _shards(outputs[0]) == _shards(outputs[1])
  reason = {file["path"]: file.get("reason") for file in map(json.loads, lines)}
  by_kind = {}
  for path, kind in truth.items():
    of = by_kind.setdefault(kind, {})
    of[reason[path] or "read"] = of.get(reason[path] or "read", 0) + 1
  for kind, reasons in by_kind.items():
    print(f"{kind:14}{reasons}")
  counted = sum(reason[path] is not None for path in truth) / len(truth)
  conditions = {
    "shards unchanged, byte for byte": same,
    "all good videos read": counts["videos"] == VIDEOS == alone["videos"],
  }
  return {
    "value": counted,
    "bar": 1.0,
    "holds": counted == 1 and all(conditions.values()),
    "conditions": conditions,
    "unreadable": counts["unreadable"],
    "files": counts["files"],
    "seconds": round(seconds, 1),
  }


def _shards(output) -> list[tuple[str, bytes]]:
  return [(path.name, path.read_bytes()) for path in sorted((output / "clips").rglob("*")) if path.is_file()]
