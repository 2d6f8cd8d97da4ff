"""From a config to the objects of an experiment."""

from stale_jax.config.build import build

__all__ = ["build"]
