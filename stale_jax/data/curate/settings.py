"""What is kept: every threshold of curation, in one place."""

import dataclasses

from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """
  Attributes:
    least_seconds, most_seconds: of a clip. What is shorter is left out, what is longer is cut in equal parts.
    least_motion: of a clip that is not static, in shorter sides of the picture a second (see motion.py). A
      photograph has up to .01 by its noise, a pan of 4% of the width a second .07.
    least_light: of a clip that is not dark: the luma, from 0 to 1, that a tenth of its pixels reach.
    most_text: share of the picture that writing may cover.
    nearest: bits of 256 by which clips must differ, or they are near-duplicates (see hashes.py).
    test_share: of the groups of videos (an uploader's, and what is near to them) that are for testing.
    short_side: of the pictures that are written, in pixels; smaller ones are not enlarged.
    most_rate: pictures a second that are written; of a faster video, every second, third... one is.
  """

  least_seconds: float = 1.0
  most_seconds: float = 8.0
  least_motion: float = 0.02
  least_light: float = 0.12
  most_text: float = 0.12
  nearest: int = 64
  test_share: float = 0.05
  short_side: int = 256
  most_rate: float = 30.0

  def __post_init__(self):
    if not 0 < self.least_seconds <= self.most_seconds / 2:
      raise UserError(
        f"least_seconds={self.least_seconds} must be positive and at most half of "
        f"most_seconds={self.most_seconds}."
      )
    for name in ("least_motion", "least_light", "most_text", "test_share"):
      if not 0 <= (value := vars(self)[name]) <= 1:
        raise UserError(f"{name}={value} must lie from 0 to 1.")
    if not 0 <= self.nearest <= 100:  # Pictures that have nothing to do with one another begin there.
      raise UserError(f"nearest={self.nearest} must lie from 0 to 100.")
    if self.short_side < 16 or self.short_side % 2:
      raise UserError(f"short_side={self.short_side} must be even, and at least 16.")
    if not self.most_rate >= 1:
      raise UserError(f"most_rate={self.most_rate}: at least 1 is needed.")
