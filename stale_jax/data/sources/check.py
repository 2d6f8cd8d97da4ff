"""Checks of fields that several sources share."""

from stale_jax.errors import UserError

SPLITS = ("train", "test")


def check_patch(frames: int, patch: int) -> None:
  """Raises UserError unless `patch`, in frames, divides `frames`."""
  if frames % patch:
    raise UserError(f"source.frames={frames} must be a multiple of source.patch={patch}.")
