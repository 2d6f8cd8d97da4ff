"""What every source of clips asks of its fields."""

from stale_jax.construct import at_least, nearest
from stale_jax.errors import UserError

SPLITS = ("train", "test")


def check_source(split: str, frames: int, patch: int) -> None:
  """Raises UserError if there is no such split, or patches do not fill the frames."""
  if split not in SPLITS:
    raise UserError(f"unknown split {split!r}: {nearest(split, SPLITS)}")
  at_least(1, "source", patch=patch, frames=frames)
  if frames % patch:
    raise UserError(f"source.frames={frames} must be a multiple of source.patch={patch}.")
