"""Curation finds copies of videos, also before a fixed camera, and keeps all that are different.

The originals are drawn scenes; drawn takes of persons who move their arms before a fixed camera, so that only
the motion tells the takes of one person apart; and, if the environment variable STALE_JAX_VIDEOS names a
folder, the real videos in it, which must be different from each other. Each original has four copies:
re-encoded, resized, trimmed by half a second, and mirrored. Scores with bars of their own: the share of the
copies of each kind that are in a cluster with their original, .95; the share of the pairs in a cluster that
come from one original, .98; the share of the originals of which a version is kept, 1. Value: the least score
divided by its bar. Bar: 1.
"""

SCENES, PERSONS, TAKES = 2, 3, 8  # Seeds of each kind of scene; persons, and takes of each.
RECALL, PRECISION = 0.95, 0.98


def measure(seed: int) -> dict:
  import json
  import os
  import tempfile
  from pathlib import Path

  from stale_jax.data.curate import Settings
  from stale_jax.data.curate.run import curate

  with tempfile.TemporaryDirectory() as folder:
    root, output = Path(folder) / "in", Path(folder) / "out"
    root.mkdir()
    groups = _plant(root, os.environ.get("STALE_JAX_VIDEOS", ""), seed)
    workers = os.cpu_count() or 1
    curate(root, output, settings=Settings(), salt="a salt of the claim's", workers=workers, say=print)
    clips = [json.loads(line) for line in (output / "work/clips.jsonl").read_text().splitlines()]
  scores = {}
  for group, names in groups.items():
    for name, value in _score(names, [clip for clip in clips if clip["path"].split("-")[0] in names]).items():
      scores[f"{group}: {name}"] = value
      print(f"{group}: {name:24}{value:.3f}")
  of = {name: group for group, names in groups.items() for name in names}
  pairs = [pair for pair in _pairs(clips) if of[pair[0]] != of[pair[1]]]
  bars = {name: _bar(name) for name in scores}
  value = min(scores[name] / bar for name, bar in bars.items()) if not pairs else 0.0
  return {
    "value": value,
    "bar": 1.0,
    "holds": value >= 1,
    "scores": scores,
    "pairs across kinds": len(pairs),
    "originals": {group: len(names) for group, names in groups.items()},
  }


def _bar(name: str) -> float:
  return {"kept": 1.0, "precision": PRECISION}.get(name.split(": ")[1], RECALL)


def _plant(root, real: str, seed: int) -> dict[str, list[str]]:
  """Writes originals NAME-original.mp4 and copies NAME-KIND.mp4; returns kind of original -> names."""
  from pathlib import Path

  import numpy as np

  from stale_jax.data.decode.container import Unreadable
  from stale_jax.data.decode.video import probe, read_frames
  from stale_jax.testing.gestures import gesture
  from stale_jax.testing.scenes import GOOD, RATE, scene

  groups = {"scenes": [], "gestures": []}
  for kind in GOOD:
    for k in range(SCENES):
      groups["scenes"].append(f"{kind}{k}")
      _write(root, f"{kind}{k}", scene(kind, 3.0, 100 * seed + k))
  for person in range(PERSONS):
    for take in range(TAKES):
      groups["gestures"].append(f"person{person}take{take}")
      _write(root, f"person{person}take{take}", gesture(100 * seed + person, take, 3.0))
  for number, path in enumerate(sorted(Path(real).rglob("*")) if real else ()):
    try:
      found = probe(path)
    except Unreadable:
      continue
    height = 2 * round(min(360, found.height) / 2)
    width = 2 * round(height * found.width / found.height / 2)
    groups.setdefault("real", []).append(f"real{number}")
    _write(
      root, f"real{number}", read_frames(path, np.arange(0, found.seconds, 1 / RATE)[:-1], height, width)
    )
  return groups


def _write(root, name: str, frames) -> None:
  """Writes an original and its copies."""
  import numpy as np

  from stale_jax.testing.scenes import RATE, Change, write

  write(root / f"{name}-original.mp4", frames, 20)
  write(root / f"{name}-encoded.mp4", frames, 34)
  write(root / f"{name}-resized.mp4", Change(scale=0.6)(frames))
  write(root / f"{name}-trimmed.mp4", frames[RATE // 2 :])
  write(root / f"{name}-mirrored.mp4", np.ascontiguousarray(frames[:, :, ::-1]))


def _pairs(clips: list[dict]) -> set[tuple[str, str]]:
  """The pairs of originals (of the same or different names) of different videos in one cluster, by path."""
  import itertools

  clusters = {}
  for clip in clips:
    if clip["cluster"]:
      clusters.setdefault(clip["cluster"], set()).add(clip["path"])
  paths = {pair for members in clusters.values() for pair in itertools.combinations(sorted(members), 2)}
  return {(a.split("-")[0], b.split("-")[0], a, b) for a, b in paths}


def _score(names: list[str], clips: list[dict]) -> dict[str, float]:
  """The scores of one kind of originals, from their clips."""
  pairs = _pairs(clips)
  found = {(a, b) for *_, a, b in pairs} | {(b, a) for *_, a, b in pairs}
  scores = {}
  for kind in ("encoded", "resized", "trimmed", "mirrored"):
    hits = [(f"{name}-original.mp4", f"{name}-{kind}.mp4") in found for name in names]
    scores[kind] = sum(hits) / len(hits)
  scores["precision"] = sum(a == b for a, b, *_ in pairs) / max(1, len(pairs))
  kept = {clip["path"].split("-")[0] for clip in clips if not clip["reason"]}
  scores["kept"] = len(kept & set(names)) / len(names)
  return scores
