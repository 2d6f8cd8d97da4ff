"""Configs: schema, defaults, overrides, and building the objects of an experiment."""

from stale_jax.config.build import build, build_system
from stale_jax.config.overrides import resolve_for
from stale_jax.config.resolve import resolve
from stale_jax.config.tree import as_config_dict, default_config

__all__ = ["as_config_dict", "build", "build_system", "default_config", "resolve", "resolve_for"]
