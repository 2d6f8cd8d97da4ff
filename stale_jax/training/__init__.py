"""State, step, loop, checkpoints."""

from stale_jax.training.build import Experiment, build
from stale_jax.training.excavate import excavate, find_snapshots
from stale_jax.training.loop import train
from stale_jax.training.state import State

__all__ = ["Experiment", "State", "build", "excavate", "find_snapshots", "train"]
