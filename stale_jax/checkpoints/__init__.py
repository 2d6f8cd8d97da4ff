"""What outlives a run: checkpoints, weights, and averages made after the run."""

from stale_jax.checkpoints.posthoc_ema import excavate, find_snapshots

__all__ = ["excavate", "find_snapshots"]
