"""Checkpoints, weights files, and averages of the parameters that are computed after a run."""

from stale_jax.checkpoints.posthoc_ema import excavate, find_snapshots

__all__ = ["excavate", "find_snapshots"]
