"""What every source of clips asks of its fields."""

from stale_jax.errors import UserError

SPLITS = ("train", "test")


def check_patch(frames: int, patch: int) -> None:
  """Raises UserError if patches do not fill the frames."""
  if frames % patch:
    raise UserError(f"source.frames={frames} must be a multiple of source.patch={patch}.")
