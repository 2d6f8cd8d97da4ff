"""Which clips are kept, why the others are not, and in which split."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stale_jax.data.curate.settings import Settings
from stale_jax.data.metadata import share_of

# Why a clip is left out, in the order in which it is asked.
REASONS = {
  "short": "shorter than the shortest that is asked for",
  "dark": "dark: even its brightest tenth is",
  "static": "static: a photograph, a slide",
  "text": "covered with writing",
  "duplicate": "a near-duplicate of a clip that is kept",
  "unencodable": "it could be looked at, but not be written",
}


def fault(clip: Mapping[str, Any], settings: Settings) -> str:
  """Of the first four REASONS, why a clip (as `examine` measured it) is left out; "" if it is not."""
  if clip["end"] - clip["start"] < settings.least_seconds:
    return "short"
  if clip["light"] < settings.least_light:
    return "dark"
  if clip["motion"] < settings.least_motion:
    return "static"
  return "text" if clip["text"] > settings.most_text else ""


def groups(names: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
  """Name -> the least of the names that it is linked to, directly or by others."""
  parent = {name: name for name in names}

  def root(name: str) -> str:
    while parent[name] != name:
      parent[name] = name = parent[parent[name]]
    return name

  for one, other in links:
    low, high = sorted((root(one), root(other)))
    parent[high] = low
  return {name: root(name) for name in parent}


def judge(
  videos: Sequence[Mapping[str, Any]], links: Iterable[tuple[str, str]], settings: Settings
) -> list[dict[str, Any]]:
  """Every clip with its `reason` ("": kept), its `cluster` of near-duplicates and its `split`.

  Of a cluster one video's clips are kept, the largest picture's. Videos of one uploader, of one source, or
  with near-duplicates of one another's clips are in one split: what is tested on was not trained on.

  Args:
    videos: readable ones, each with `id`, `person` and `source` ("" where unknown), what `examine` returns.
    links: ids of clips ("VIDEO_NUMBER") that are near-duplicates.
  """
  videos = sorted(videos, key=lambda video: video["id"])
  clips = [
    {**clip, "id": clip_id(video["id"], i), "video": video["id"], "reason": fault(clip, settings)}
    for video in videos
    for i, clip in enumerate(video["clips"])
  ]
  links = sorted(links)
  clusters = groups((clip["id"] for clip in clips), links)
  members = collections.Counter(clusters.values())
  merit = {v["id"]: (v["width"] * v["height"], v["seconds"], v["bytes"], v["id"]) for v in videos}
  best = {}
  for clip in clips:
    cluster = clusters[clip["id"]]
    best[cluster] = max(best.get(cluster, ()), merit[clip["video"]])
  together = [(f"video {a.rpartition('_')[0]}", f"video {b.rpartition('_')[0]}") for a, b in links]
  for video in videos:
    for kind in ("person", "source"):
      if video[kind]:
        together.append((f"video {video['id']}", f"{kind} {video[kind]}"))
  names = {name for link in together for name in link} | {f"video {video['id']}" for video in videos}
  group = groups(names, together)
  for clip in clips:
    cluster = clusters[clip["id"]]
    clip["cluster"] = cluster if members[cluster] > 1 else ""
    if not clip["reason"] and merit[clip["video"]] != best[cluster]:
      clip["reason"] = "duplicate"
    clip["group"] = group[f"video {clip['video']}"]
    clip["split"] = "test" if share_of(clip["group"]) < settings.test_share else "train"
  return clips


def clip_id(video: str, number: int) -> str:
  """The name of a video's clip; they sort by their time."""
  return f"{video}_{number:05}"
