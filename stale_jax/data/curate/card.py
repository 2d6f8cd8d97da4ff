"""Computes the content of a data card: distributions, thumbnails of kept and rejected clips, and rights.

`media.write_data_card` renders the content as HTML.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stale_jax.data.curate import encode
from stale_jax.data.curate.describe import File
from stale_jax.data.curate.isolation import IsolatedProcess
from stale_jax.data.curate.judge import REASONS
from stale_jax.data.curate.pipeline import Place
from stale_jax.data.curate.provenance import FIELDS
from stale_jax.data.curate.result_cache import key_of
from stale_jax.data.curate.settings import Settings
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.metadata import share_of

_SAMPLES, _EXAMPLES = 12, 3  # Most clips on the card: kept clips, and rejected clips for each reason.
# Times of a clip's thumbnails, as fractions of its length; the second set is for near-duplicates.
_MOMENTS, _ENDS = (0.15, 0.5, 0.85), (0.25, 0.75)
_HEIGHT = 96  # Height of a thumbnail, in pixels.
_SECONDS = 60.0  # Time limit for the thumbnails of a clip.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
  """The distribution of one measurement over clips.

  Attributes:
    name, unit: name and unit of the measurement.
    edges: edges of the bins, one more than there are bins.
    kept, left_out: number of kept and of rejected clips in each bin.
    limit: the threshold beyond which clips are rejected; None if the measurement has none.
  """

  name: str
  unit: str
  edges: tuple[float, ...]
  kept: tuple[int, ...]
  left_out: tuple[int, ...]
  limit: float | None = None


def histograms(clips: Sequence[Mapping[str, Any]], settings: Settings) -> list[Histogram]:
  """The histograms of the measurements on which clips are judged, and of picture size and caption length.

  Clips that were too short to be measured are left out. Values outside the edges count in the outer bins.

  Args:
    clips: all clips, as returned by `judge`; kept clips also have `encoded` and `metadata`.
    settings: the thresholds.
  """
  measured = [clip for clip in clips if "motion" in clip]
  kept = [clip for clip in measured if not clip["reason"]]

  def draw(name, unit, edges, measure: Callable, limit=None, among=measured):
    edges = np.asarray(edges, float)

    def bins(chosen):
      values = np.clip([measure(clip) for clip in chosen], edges[0], edges[-1])
      return tuple(int(n) for n in np.histogram(values, edges)[0])

    left_out = bins([clip for clip in among if clip["reason"]])
    return Histogram(
      name=name, unit=unit, edges=tuple(edges), kept=bins(kept), left_out=left_out, limit=limit
    )

  return [
    draw("length", "s", np.linspace(0, settings.most_seconds, 17), lambda c: c["end"] - c["start"]),
    draw(
      "motion",
      "shorter sides per second",
      np.geomspace(1e-4, 10, 21),
      lambda c: c["motion"],
      settings.least_motion,
    ),
    draw("light", "luma", np.linspace(0, 1, 21), lambda c: c["light"], settings.least_light),
    draw("text", "share of the picture", np.linspace(0, 0.5, 21), lambda c: c["text"], settings.most_text),
    draw(
      "shorter side",
      "pixels",
      _sizes(kept),
      lambda c: min(c["encoded"]["height"], c["encoded"]["width"]),
      None,
      kept,
    ),
    draw("caption", "letters", np.linspace(0, 200, 21), lambda c: len(c["metadata"]["caption"]), None, kept),
  ]


def _sizes(kept: Sequence[Mapping[str, Any]]) -> np.ndarray:
  most = max([min(c["encoded"]["height"], c["encoded"]["width"]) for c in kept], default=256)
  return np.linspace(0, 32 * -(-most // 32), most // 32 + 2 if most % 32 else most // 32 + 1)


def rights(kept: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, int]]]:
  """For each field of `provenance.FIELDS`, its values and their numbers of clips, most frequent first."""

  def word(value):
    return "unknown" if value in ("", None) else str(value)

  counted = {name: collections.Counter(word(clip["metadata"][name]) for clip in kept) for name in FIELDS}
  return {name: sorted(c.items(), key=lambda item: (-item[1], item[0])) for name, c in counted.items()}


def shown(
  clips: Sequence[Mapping[str, Any]], files: Mapping[str, File], place: Place
) -> dict[str, list[tuple[Mapping[str, Any], list[bytes]]]]:
  """Chooses sample clips for the card, and makes their thumbnails.

  Args:
    clips: all clips, as returned by `judge`.
    files: id of a video -> its file.
    place: the folders of the run.

  Returns:
    Reason ("" for kept clips, else one of REASONS) -> pairs of a clip and its thumbnails, as JPEG. Clips are
    chosen pseudo-randomly by their ids. A near-duplicate has two thumbnails, followed by two of the clip that
    is kept instead.
  """
  kept_of = {clip["cluster"]: clip for clip in reversed(clips) if not clip["reason"]}
  out, process = {}, IsolatedProcess()

  def pictures(clip, moments):
    return _pictures(clip, moments, files[clip["video"]], place, process)

  try:
    for reason in ("", *REASONS):
      chosen = sorted((c for c in clips if c["reason"] == reason), key=lambda c: (share_of(c["id"]), c["id"]))
      out[reason] = []
      for clip in chosen[: _EXAMPLES if reason else _SAMPLES]:
        if reason == "duplicate" and clip["cluster"] in kept_of:
          thumbnails = pictures(clip, _ENDS) + pictures(kept_of[clip["cluster"]], _ENDS)
        else:
          thumbnails = pictures(clip, _MOMENTS)
        out[reason].append((clip, thumbnails))
  finally:
    process.close()
  return out


def _pictures(
  clip: Mapping[str, Any], moments: Sequence[float], file: File, place: Place, process: IsolatedProcess
) -> list[bytes]:
  """Thumbnails of a clip at fractions of its length, as JPEG; empty if the video can no longer be read."""
  cache = place.cache("thumbnails")
  times = [clip["start"] + share * (clip["end"] - clip["start"]) for share in moments]
  key = key_of(dataclasses.astuple(file), times, _HEIGHT)
  if (thumbnails := cache.get(key)) is None:
    arguments = {"path": f"{place.root}/{file.path}", "times": times, "height": _HEIGHT}
    try:
      thumbnails = process.call(f"{encode.__name__}:thumbnails", file.path, _SECONDS, **arguments)
    except Unreadable:
      thumbnails = []
    cache.put(key, thumbnails)
  return [bytes.fromhex(picture) for picture in thumbnails]
