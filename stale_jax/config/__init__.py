"""From a config to the objects of an experiment."""

from stale_jax.config.build import Experiment, build

__all__ = ["Experiment", "build"]
