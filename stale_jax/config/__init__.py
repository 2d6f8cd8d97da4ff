"""From a config to the objects of an experiment."""

from stale_jax.config.build import build, build_system

__all__ = ["build", "build_system"]
