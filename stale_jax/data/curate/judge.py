"""Decides which clips are kept, why the others are rejected, and the split of each clip.

In each cluster of near-duplicates only the clips of one video are kept: the video with the largest pictures.
Videos with an account of their uploaders or the source in common, or with near-duplicate clips, form a group.
All clips of a group are in one split, so that no test clip resembles a training clip.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stale_jax.data.curate.components import read_edges
from stale_jax.data.curate.place import Place, write_lines
from stale_jax.data.curate.settings import Settings
from stale_jax.data.curate.stage import Step
from stale_jax.data.metadata import share_of

# The reasons for rejecting a clip, with their descriptions, in the order in which they are checked.
REASONS = {
  "short": "shorter than the minimum length",
  "dark": "dark: even the brightest tenth of its pixels is dark",
  "static": "static: a photograph or a slide",
  "text": "covered with text",
  "duplicate": "a near-duplicate of a clip of a larger video",
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


def clip_id(video: str, number: int) -> str:
  """The id of a clip, VIDEO_NUMBER. Sorted by their ids, the clips of a video are in order of time."""
  return f"{video}_{number:05}"


def video_of(clip: str) -> str:
  """The id of the video of a clip, from the clip's id or node."""
  return clip.rpartition(" ")[2].rpartition("_")[0]


def clip_node(video: Mapping[str, Any], clip: str) -> str:
  """The node of a clip in the graph of near-duplicates.

  The first node of a component is the clip of the best video: that with the largest pictures, then the
  longest, then the largest file.

  Args:
    video: `width`, `height`, `seconds` and `bytes` of the video.
    clip: id of the clip.
  """
  pixels, milliseconds = video["width"] * video["height"], round(1000 * video["seconds"])
  worse = f"{(1 << 40) - pixels:011x}{(1 << 40) - milliseconds:011x}{(1 << 60) - video['bytes']:016x}"
  return f"clip {worse} {clip}"


def judge(report: Mapping[str, Any], first_of: Mapping[str, str], settings: Settings) -> list[dict[str, Any]]:
  """Decides the outcome of all clips of a video.

  Args:
    report: the report of the video (see `scan`).
    first_of: node of a clip or video -> the first node of its component (see `components`); a node without
      edges may be absent.
    settings: the thresholds and the fraction of the test split.

  Returns:
    The clips of `examine`, each with `id`; `video`, the id of its video; `reason`, one of REASONS or "" if it
    is kept; `cluster`, the id of the clip that is kept of its cluster, or "" if it has no near-duplicates;
    `group`, the name of the group of its video; `split`, "train" or "test"; and `file` and `known` of its
    report.
  """
  video = f"video {report['id']}"
  group = first_of.get(video, video)
  split = "test" if share_of(group) < settings.test_share else "train"
  clips = []
  for number, clip in enumerate(report["clips"]):
    name = clip_id(report["id"], number)
    first = first_of.get(clip_node(report, name), "")
    duplicate = "duplicate" if first and video_of(first) != report["id"] else ""
    decided = {
      "id": name,
      "video": report["id"],
      "reason": fault(clip, settings) or duplicate,
      "cluster": first.rpartition(" ")[2],
      "group": group,
      "split": split,
    }
    clips.append({**clip, **decided, "file": report["file"], "known": report["known"]})
  return clips


class Judge(Step):
  """Judges the clips of all videos of a part.

  The input is a folder of reports or of edges to the first nodes of components. The result is reports.jsonl,
  clips.jsonl and slices.json: [begin, end] in bytes of each `slice_clips` clips.
  """

  def __init__(self, place: Place, settings: Settings, slice_clips: int):
    self._place, self._settings, self._slice_clips = place, settings, slice_clips

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    folder = Path(line)
    if (reports := folder / "reports.jsonl").exists():
      with reports.open(encoding="utf-8") as file:
        for report in file:
          yield self._place.part_of(json.loads(report)["id"]), report.strip().encode()
      return
    for node, first in read_edges(folder):
      # The first clip of a cluster must learn that it has near-duplicates.
      nodes = (node, first) if node.startswith("clip ") else (node,) if node.startswith("video ") else ()
      for part in {self._part(each) for each in nodes}:
        yield part, json.dumps([node, first]).encode()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    rows = list(map(json.loads, values))
    edges = [row for row in rows if isinstance(row, list)]
    first_of = {first: first for _, first in edges} | dict(edges)
    reports = sorted((row for row in rows if isinstance(row, dict)), key=lambda report: report["id"])
    clips = [
      clip for report in reports if "clips" in report for clip in judge(report, first_of, self._settings)
    ]
    write_lines(folder / "reports.jsonl", [_without_clips(report) for report in reports])
    write_lines(folder / "clips.jsonl", clips)
    ends = np.cumsum([0, *(len(line) for line in (folder / "clips.jsonl").read_bytes().splitlines(True))])
    bounds = [*ends[: -1 : self._slice_clips].tolist(), int(ends[-1])]
    (folder / "slices.json").write_text(json.dumps(list(itertools.pairwise(bounds))))

  def _part(self, node: str) -> int:
    """The part of the video of a node, which is "clip QUALITY VIDEO_NUMBER" or "video VIDEO"."""
    return self._place.part_of(video_of(node) if node.startswith("clip ") else node.rpartition(" ")[2])


def _without_clips(report: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in report.items() if name != "clips"}
