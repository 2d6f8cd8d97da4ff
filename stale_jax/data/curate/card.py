"""What a data card says: distributions, samples, rejected examples, rights; as plain data, to be drawn."""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stale_jax.data.curate import encode
from stale_jax.data.curate.apart import Apart
from stale_jax.data.curate.describe import File
from stale_jax.data.curate.judge import REASONS
from stale_jax.data.curate.pipeline import Place
from stale_jax.data.curate.provenance import FIELDS
from stale_jax.data.curate.remembered import key_of
from stale_jax.data.curate.settings import Settings
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.metadata import share_of

_SAMPLES, _EXAMPLES = 12, 3  # Clips that are shown: kept ones; left out ones, a reason.
_MOMENTS, _ENDS = (0.15, 0.5, 0.85), (0.25, 0.75)  # Of a clip's length, at which it is shown.
_HEIGHT = 96  # Of a thumbnail, in pixels.
_SECONDS = 60.0  # That a thumbnail may take.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
  """
  Attributes:
    name, unit: of what is on the axis.
    edges: of the bins, one more than there are.
    kept, left_out: clips a bin.
    limit: the threshold between the two, if there is one.
  """

  name: str
  unit: str
  edges: tuple[float, ...]
  kept: tuple[int, ...]
  left_out: tuple[int, ...]
  limit: float | None = None


def histograms(clips: Sequence[Mapping[str, Any]], settings: Settings) -> list[Histogram]:
  """Of every clip that was measured."""
  measured = [clip for clip in clips if "motion" in clip]
  kept = [clip for clip in measured if not clip["reason"]]

  def draw(name, unit, edges, of: Callable, limit=None, among=measured):
    edges = np.asarray(edges, float)

    def bins(chosen):
      values = np.clip([of(clip) for clip in chosen], edges[0], edges[-1])
      return tuple(int(n) for n in np.histogram(values, edges)[0])

    left_out = bins([clip for clip in among if clip["reason"]])
    return Histogram(
      name=name, unit=unit, edges=tuple(edges), kept=bins(kept), left_out=left_out, limit=limit
    )

  return [
    draw("length", "s", np.linspace(0, settings.most_seconds, 17), lambda c: c["end"] - c["start"]),
    draw(
      "motion",
      "shorter sides a second",
      np.geomspace(1e-4, 10, 21),
      lambda c: c["motion"],
      settings.least_motion,
    ),
    draw("light", "luma", np.linspace(0, 1, 21), lambda c: c["light"], settings.least_light),
    draw("writing", "share of the picture", np.linspace(0, 0.5, 21), lambda c: c["text"], settings.most_text),
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
  """Of each field of provenance, its values and how many clips have them, most frequent first."""

  def word(value):
    return "not known" if value in ("", None) else str(value)

  counted = {name: collections.Counter(word(clip["metadata"][name]) for clip in kept) for name in FIELDS}
  return {name: sorted(c.items(), key=lambda item: (-item[1], item[0])) for name, c in counted.items()}


def shown(
  clips: Sequence[Mapping[str, Any]], files: Mapping[str, File], place: Place
) -> dict[str, list[tuple[Mapping[str, Any], list[bytes]]]]:
  """For "" (kept) and each of REASONS some clips, chosen by their names, and pictures of each as JPEG.

  Of a near-duplicate two pictures, and then the same two of the clip that is kept in its stead.
  """
  stead = {clip["cluster"]: clip for clip in reversed(clips) if not clip["reason"]}
  out, apart = {}, Apart()

  def pictures(clip, moments):
    return _pictures(clip, moments, files[clip["video"]], place, apart)

  try:
    for reason in ("", *REASONS):
      chosen = sorted((c for c in clips if c["reason"] == reason), key=lambda c: (share_of(c["id"]), c["id"]))
      out[reason] = []
      for clip in chosen[: _EXAMPLES if reason else _SAMPLES]:
        if reason == "duplicate" and clip["cluster"] in stead:
          found = pictures(clip, _ENDS) + pictures(stead[clip["cluster"]], _ENDS)
        else:
          found = pictures(clip, _MOMENTS)
        out[reason].append((clip, found))
  finally:
    apart.close()
  return out


def _pictures(
  clip: Mapping[str, Any], moments: Sequence[float], file: File, place: Place, apart: Apart
) -> list[bytes]:
  """Of a clip at these shares of its length; none if it cannot be read any more."""
  remembered = place.remembered("thumbnails")
  times = [clip["start"] + share * (clip["end"] - clip["start"]) for share in moments]
  key = key_of(dataclasses.astuple(file), times, _HEIGHT)
  if (found := remembered.get(key)) is None:
    asked = {"path": f"{place.root}/{file.path}", "times": times, "height": _HEIGHT}
    try:
      found = apart.call(f"{encode.__name__}:thumbnails", file.path, _SECONDS, **asked)
    except Unreadable:
      found = []
    remembered.put(key, found)
  return [bytes.fromhex(picture) for picture in found]
