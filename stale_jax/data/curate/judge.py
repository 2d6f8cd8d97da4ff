"""Decides which clips are kept, why the others are rejected, and the split of each clip."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stale_jax.data.curate.settings import Settings
from stale_jax.data.groups import groups
from stale_jax.data.metadata import share_of

# The reasons for rejecting a clip, with their descriptions, in the order in which they are checked.
REASONS = {
  "short": "shorter than the minimum length",
  "dark": "dark: even the brightest tenth of its pixels is dark",
  "static": "static: a photograph or a slide",
  "text": "covered with text",
  "duplicate": "a near-duplicate of a clip that is kept",
  "unencodable": "readable, but encoding it failed",
}


def fault(clip: Mapping[str, Any], settings: Settings) -> str:
  """The first of "short", "dark", "static" and "text" that applies to a clip; "" if none does.

  Args:
    clip: the measurements of `examine`.
    settings: the thresholds.
  """
  if clip["end"] - clip["start"] < settings.least_seconds:
    return "short"
  if clip["light"] < settings.least_light:
    return "dark"
  if clip["motion"] < settings.least_motion:
    return "static"
  return "text" if clip["text"] > settings.most_text else ""


def judge(
  videos: Sequence[Mapping[str, Any]], links: Iterable[tuple[str, str]], settings: Settings
) -> list[dict[str, Any]]:
  """Decides the outcome of all clips.

  In each cluster of near-duplicates only the clips of one video are kept: the video with the largest
  pictures. Videos with an account or the source in common, or with near-duplicate clips, form a group. All
  clips of a group are in one split, so that no test clip resembles a training clip.

  Args:
    videos: the readable videos: `id`; `person`, the uploader; `accounts`, all names of the uploader;
      `source`, see `describe_video`; and the entries that `examine` returns. An unknown `person` or `source`
      is "".
    links: pairs of ids of near-duplicate clips (see `clip_id`).
    settings: the thresholds and the fraction of the test split.

  Returns:
    The clips of `examine`, each with `id`; `video`, the id of its video; `reason`, one of REASONS or "" if it
    is kept; `cluster`, the name of its cluster, or "" if it has no near-duplicates; `group`, the name of the
    group of its video; and `split`, "train" or "test".
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
  quality = {v["id"]: (v["width"] * v["height"], v["seconds"], v["bytes"], v["id"]) for v in videos}
  best = {}
  for clip in clips:
    cluster = clusters[clip["id"]]
    best[cluster] = max(best.get(cluster, ()), quality[clip["video"]])
  edges = [(f"video {a.rpartition('_')[0]}", f"video {b.rpartition('_')[0]}") for a, b in links]
  for video in videos:
    for kind in ("person", "source"):
      if video[kind]:
        edges.append((f"video {video['id']}", f"{kind} {video[kind]}"))
    # Sorted after persons, by whose names groups are named and split.
    edges += [(f"video {video['id']}", f"user {account}") for account in video.get("accounts", ())]
  names = {name for edge in edges for name in edge} | {f"video {video['id']}" for video in videos}
  group = groups(names, edges)
  for clip in clips:
    cluster = clusters[clip["id"]]
    clip["cluster"] = cluster if members[cluster] > 1 else ""
    if not clip["reason"] and quality[clip["video"]] != best[cluster]:
      clip["reason"] = "duplicate"
    clip["group"] = group[f"video {clip['video']}"]
    clip["split"] = "test" if share_of(clip["group"]) < settings.test_share else "train"
  return clips


def clip_id(video: str, number: int) -> str:
  """The id of a clip, VIDEO_NUMBER. Sorted by their ids, the clips of a video are in order of time."""
  return f"{video}_{number:05}"
