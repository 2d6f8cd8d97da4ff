"""Statistics of curation: numbers of files and clips by outcome, and contamination between the splits."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.captions import longer_than
from stale_jax.data.curate.judge import REASONS
from stale_jax.data.curate.likeness import Compared, likeness
from stale_jax.data.curate.link import pictures_of

# Captions of more bytes are cut by the models of configs/shards.py and of configs/stale_14b.py.
_BYTES = (95, 511)
# At most this many test clips are each compared with at most this many training clips.
_TESTED, _AGAINST = 50, 200


def count_outcomes(
  reports: Iterable[Mapping[str, Any]],
  clips: Iterable[Mapping[str, Any]],
  broken_lines: int,
  tables: Sequence[Path],
  most_likeness: float,
) -> dict[str, Any]:
  """Counts files, clips and seconds by outcome: kept, or the reason why they were left out.

  Args:
    reports: the reports of all files, without the clips, see `scan`.
    clips: the clips of all readable files, see `encode_clips`.
    broken_lines: number of lines (or whole files) of TikTok's Research API that could not be parsed.
    tables: folders with the looks of the clips, see `link.LookTable`.
    most_likeness: see `Settings`.

  Returns:
    Statistics, serializable as JSON.
  """
  count, unreadable, left_out = collections.Counter(), collections.Counter(), collections.Counter()
  seconds, kept_seconds, clusters, long_captions = 0.0, 0.0, set(), dict.fromkeys(_BYTES, 0)
  for report in reports:
    count["files"] += 1
    if "reason" in report:
      unreadable[report["reason"]] += 1
      continue
    count["videos"] += 1
    count["hdr"] += report["transfer"] != "sdr"
    count["cuts"] += len(report["cuts"])
    count["broken"] += report["known"]["broken"]
    seconds += report["seconds"]
  for clip in clips:
    count["clips"] += 1
    clusters |= {clip["cluster"]} - {""}
    left_out[clip["reason"]] += 1
    if not clip["reason"]:
      kept_seconds += clip["end"] - clip["start"]
      count[clip["split"]] += 1
      count["without_caption"] += not clip["metadata"]["caption"]
      for most in _BYTES:
        long_captions[most] += longer_than([clip["metadata"]["caption"]], most)
  return {
    "files": count["files"],
    "unreadable": dict(sorted(unreadable.items(), key=lambda item: (-item[1], item[0]))),
    "videos": count["videos"],
    "hdr": count["hdr"],
    "seconds": round(seconds, 2),
    "cuts": count["cuts"],
    "clips": count["clips"],
    "left_out": {reason: left_out[reason] for reason in REASONS if left_out[reason]},
    "clusters": len(clusters),
    "kept": left_out[""],
    "kept_seconds": round(kept_seconds, 2),
    "train": count["train"],
    "test": count["test"],
    "contamination": _contamination(clips, tables, most_likeness),
    "without_caption": count["without_caption"],
    "long_captions": long_captions,
    "broken_metadata": count["broken"] + broken_lines,
  }


def _contamination(
  clips: Iterable[Mapping[str, Any]], tables: Sequence[Path], most_likeness: float
) -> dict[str, Any]:
  """Counts uploaders, videos, clusters and near-duplicates that are in both splits.

  As a check on the deduplication, the first 50 test clips are compared with the first 200 training clips,
  all pairs.
  """
  names = {key: {"test": set(), "train": set()} for key in ("uploaders", "videos", "clusters")}
  first = {"test": [], "train": []}
  for clip in clips:
    if not clip["reason"]:
      split, metadata = clip["split"], clip["metadata"]
      uploaders = {metadata["uploader"], *metadata["accounts"]}
      for key, values in zip(names, (uploaders, {clip["video"]}, {clip["cluster"]}), strict=True):
        names[key][split] |= values - {""}
      if len(first[split]) < (_TESTED if split == "test" else _AGAINST):
        first[split].append(clip["id"])
  test, train = pictures_of(tables, first["test"]), pictures_of(tables, first["train"])
  nearest = [-1.0] * len(test) if train else []
  for one in map(Compared, train):
    values = [likeness(one, Compared(other), most_likeness) for other in test]
    nearest = list(map(max, nearest, values))
  return {
    **{key: len(of["test"] & of["train"]) for key, of in names.items()},
    "near_duplicates": sum(value >= most_likeness for value in nearest),
    "nearest_likeness": round(max(nearest), 3) if nearest else None,
    "compared": len(nearest),
  }
