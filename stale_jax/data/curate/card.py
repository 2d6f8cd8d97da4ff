"""Computes the content of a data card: distributions, thumbnails of kept and rejected clips, and rights.

`media.write_data_card` renders the content as HTML.
"""

import bisect
import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stale_jax.data.curate import encode
from stale_jax.data.curate.describe import File
from stale_jax.data.curate.isolation import IsolatedProcess
from stale_jax.data.curate.judge import REASONS
from stale_jax.data.curate.place import Place
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


def histograms(clips: Iterable[Mapping[str, Any]], settings: Settings) -> list[Histogram]:
  """The histograms of the measurements on which clips are judged, and of picture size and caption length.

  Clips that were too short to be measured are left out. Values outside the edges count in the outer bins.

  Args:
    clips: all clips, see `encode_clips`.
    settings: the thresholds.
  """
  # Only numbers are held in memory, since there may be millions of clips.
  values = {name: ([], []) for name in ("length", "motion", "light", "text", "side", "caption")}

  def add(name: str, value: float, clip: Mapping[str, Any]) -> None:
    values[name][bool(clip["reason"])].append(value)

  for clip in clips:
    if "motion" in clip:
      add("length", clip["end"] - clip["start"], clip)
      for name in ("motion", "light", "text"):
        add(name, clip[name], clip)
    if not clip["reason"]:
      add("side", min(clip["encoded"]["height"], clip["encoded"]["width"]), clip)
      add("caption", len(clip["metadata"]["caption"]), clip)

  def draw(name: str, unit: str, edges, key: str, limit: float | None = None) -> Histogram:
    edges = np.asarray(edges, float)
    kept, left_out = (np.histogram(np.clip(each, edges[0], edges[-1]), edges)[0] for each in values[key])
    return Histogram(
      name=name,
      unit=unit,
      edges=tuple(edges),
      kept=tuple(map(int, kept)),
      left_out=tuple(map(int, left_out)),
      limit=limit,
    )

  motions, shares = np.geomspace(1e-4, 10, 21), np.linspace(0, 0.5, 21)
  return [
    draw("length", "s", np.linspace(0, settings.most_seconds, 17), "length"),
    draw("motion", "shorter sides per second", motions, "motion", settings.least_motion),
    draw("light", "luma", np.linspace(0, 1, 21), "light", settings.least_light),
    draw("text", "share of the picture", shares, "text", settings.most_text),
    draw("shorter side", "pixels", _sizes(max(values["side"][0], default=256)), "side"),
    draw("caption", "letters", np.linspace(0, 200, 21), "caption"),
  ]


def _sizes(most: int) -> np.ndarray:
  return np.linspace(0, 32 * -(-most // 32), most // 32 + 2 if most % 32 else most // 32 + 1)


def rights(clips: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[str, int]]]:
  """For each field of `provenance.FIELDS`, its values and their numbers of kept clips, largest first."""
  counted = {name: collections.Counter() for name in FIELDS}
  for clip in clips:
    if not clip["reason"]:
      for name, counter in counted.items():
        value = clip["metadata"][name]
        counter["unknown" if value in ("", None) else str(value)] += 1
  return {name: sorted(c.items(), key=lambda item: (-item[1], item[0])) for name, c in counted.items()}


def shown(
  clips: Iterable[Mapping[str, Any]], place: Place
) -> dict[str, list[tuple[Mapping[str, Any], list[bytes]]]]:
  """Chooses sample clips for the card, and makes their thumbnails.

  Args:
    clips: all clips, see `encode_clips`; they are read several times.
    place: the folders of the run.

  Returns:
    Reason ("" for kept clips, else one of REASONS) -> pairs of a clip and its thumbnails, as JPEG. Clips are
    chosen pseudo-randomly by their ids. A near-duplicate has two thumbnails, followed by two of the clip that
    is kept instead.
  """
  chosen = {reason: [] for reason in ("", *REASONS)}
  for clip in clips:
    some = chosen[clip["reason"]]
    bisect.insort(some, clip, key=lambda c: (share_of(c["id"]), c["id"]))
    del some[_EXAMPLES if clip["reason"] else _SAMPLES :]
  wanted = {clip["cluster"] for clip in chosen["duplicate"]}
  kept_of = {clip["id"]: clip for clip in clips if clip["id"] in wanted}
  out, process = {}, IsolatedProcess()
  try:
    for reason, some in chosen.items():
      out[reason] = []
      for clip in some:
        if reason == "duplicate":
          kept = kept_of[clip["cluster"]]
          thumbnails = [
            picture for each in (clip, kept) for picture in _pictures(each, _ENDS, place, process)
          ]
        else:
          thumbnails = _pictures(clip, _MOMENTS, place, process)
        out[reason].append((clip, thumbnails))
  finally:
    process.close()
  return out


def _pictures(
  clip: Mapping[str, Any], moments: Sequence[float], place: Place, process: IsolatedProcess
) -> list[bytes]:
  """Thumbnails of a clip at fractions of its length, as JPEG; empty if the video can no longer be read."""
  file, cache = File(*clip["file"]), place.cache("thumbnails")
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
