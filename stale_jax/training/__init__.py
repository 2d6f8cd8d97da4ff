"""State, step, loop, checkpoints."""

from stale_jax.training.build import Experiment, build
from stale_jax.training.loop import train
from stale_jax.training.state import State

__all__ = ["Experiment", "State", "build", "train"]
