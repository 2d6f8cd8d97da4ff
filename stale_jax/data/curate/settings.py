"""The settings of curation: all thresholds that decide which clips are kept."""

import dataclasses

from stale_jax.data.decode.video import HDR_CHOICES
from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """Thresholds of curation, and the size of the encoded clips.

  Attributes:
    least_seconds, most_seconds: shortest and longest duration of a clip. Shorter scenes are rejected, longer
      ones are divided into equal parts.
    least_motion: least motion of a clip, in multiples of the picture's shorter side per second (see
      `motion.clip_speed`); clips with less are static. A still photograph with noise has a motion of up to
      .01, a pan by 4% of the width per second one of .07.
    least_light: least brightness of a clip: the luma, from 0 to 1, that a tenth of its pixels exceed.
    most_text: largest fraction of the picture that text may cover.
    most_likeness: clips that are at least this alike, from 0 to 1, are near-duplicates (see `likeness`).
    test_share: fraction of the groups of videos that are in the test split (see `judge.judge`).
    short_side: shorter side of the encoded pictures, in pixels, an even number; smaller pictures are not
      enlarged.
    most_rate: largest number of encoded pictures per second. A faster video is subsampled by the smallest
      sufficient integer.
    hdr: whether to convert videos of high dynamic range (PQ, HLG) to ordinary ones ("tone_map") or to reject
      them ("leave_out").

  Raises:
    UserError: a value is out of its range.
  """

  least_seconds: float = 1.0
  most_seconds: float = 8.0
  least_motion: float = 0.02
  least_light: float = 0.12
  most_text: float = 0.12
  most_likeness: float = 0.8
  test_share: float = 0.05
  short_side: int = 256
  most_rate: float = 30.0
  hdr: str = "tone_map"

  def __post_init__(self):
    if not 0.5 <= self.least_seconds <= self.most_seconds / 2:  # Motion needs two pictures.
      raise UserError(
        f"least_seconds={self.least_seconds} must be at least 0.5 and at most half of "
        f"most_seconds={self.most_seconds}."
      )
    for name in ("least_motion", "least_light", "most_text", "most_likeness", "test_share"):
      if not 0 <= (value := vars(self)[name]) <= 1:
        raise UserError(f"{name}={value} must lie from 0 to 1.")
    if self.short_side < 16 or self.short_side % 2:
      raise UserError(f"short_side={self.short_side} must be even and at least 16.")
    if not self.most_rate >= 1:
      raise UserError(f"most_rate={self.most_rate} must be at least 1.")
    if self.hdr not in HDR_CHOICES:
      raise UserError(f"hdr={self.hdr!r} must be one of {', '.join(HDR_CHOICES)}.")
