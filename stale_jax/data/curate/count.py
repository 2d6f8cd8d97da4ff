"""Statistics of curation: numbers of files and clips by outcome, and contamination between the splits."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stale_jax.data.captions import longer_than
from stale_jax.data.curate.hashes import distances, from_text
from stale_jax.data.curate.judge import REASONS

# Captions of more bytes are cut by the models of configs/shards.py and of configs/stale_14b.py.
_BYTES = (95, 511)
# At most this many test clips are each compared with at most this many training clips.
_TESTED, _AGAINST = 200, 20_000


def count_outcomes(
  reports: Sequence[Mapping[str, Any]], clips: Sequence[Mapping[str, Any]], broken_lines: int, nearest: int
) -> dict[str, Any]:
  """Counts files, clips and seconds by outcome: kept, or the reason why they were left out.

  Args:
    reports: the reports of all files, see `pipeline.examine_all`.
    clips: the clips of all readable files, as returned by `judge`.
    broken_lines: number of lines (or whole files) of TikTok's Research API that could not be parsed.
    nearest: greatest distance in bits, see `hashes.distances`, at which two clips are near-duplicates.

  Returns:
    Statistics, serializable as JSON.
  """
  readable = [report for report in reports if "reason" not in report]
  kept = [clip for clip in clips if not clip["reason"]]
  left_out = collections.Counter(clip["reason"] for clip in clips if clip["reason"])
  clusters = {clip["cluster"] for clip in clips if clip["cluster"]}
  return {
    "files": len(reports),
    "unreadable": _sorted(report["reason"] for report in reports if "reason" in report),
    "videos": len(readable),
    "seconds": _seconds((0, report["seconds"]) for report in readable),
    "cuts": sum(len(report["cuts"]) for report in readable),
    "clips": len(clips),
    "left_out": {reason: left_out[reason] for reason in REASONS if left_out[reason]},
    "clusters": len(clusters),
    "kept": len(kept),
    "kept_seconds": _seconds((clip["start"], clip["end"]) for clip in kept),
    "train": sum(clip["split"] == "train" for clip in kept),
    "test": sum(clip["split"] == "test" for clip in kept),
    "contamination": _contamination(kept, nearest),
    "without_caption": sum(not clip["metadata"]["caption"] for clip in kept),
    "long_captions": {
      most: longer_than([clip["metadata"]["caption"] for clip in kept], most) for most in _BYTES
    },
    "broken_metadata": sum(report["known"]["broken"] for report in readable) + broken_lines,
  }


def _sorted(words: Iterable[str]) -> dict[str, int]:
  """Counts each word, most frequent first, then alphabetically."""
  counted = collections.Counter(words)
  return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _seconds(spans: Iterable[tuple[float, float]]) -> float:
  return round(sum(end - start for start, end in spans), 2)


def _contamination(kept: Sequence[Mapping[str, Any]], nearest: int) -> dict[str, Any]:
  """Counts uploaders, videos, clusters and near-duplicates that are in both splits.

  As a check on the deduplication, the hashes of the first 200 test clips are compared with those of the first
  20,000 training clips, all pairs.
  """
  split = {name: [clip for clip in kept if clip["split"] == name] for name in ("test", "train")}

  def common(keys):
    names = [{key for clip in clips for key in keys(clip)} - {""} for clips in split.values()]
    return len(names[0] & names[1])

  result = {
    "uploaders": common(lambda clip: [clip["metadata"]["uploader"], *clip["metadata"]["accounts"]]),
    "videos": common(lambda clip: [clip["video"]]),
    "clusters": common(lambda clip: [clip["cluster"]]),
    "near_duplicates": 0,
    "nearest_bits": None,
    "compared": 0,
  }
  test, train = split["test"][:_TESTED], split["train"][:_AGAINST]
  if test and train:
    codes = np.stack([from_text(clip["hash"]) for clip in train])
    closest = np.array([distances(from_text(clip["hash"]), codes).min() for clip in test])
    result["near_duplicates"] = int((closest <= nearest).sum())
    result["nearest_bits"] = float(closest.min())
    result["compared"] = len(test)
  return result
