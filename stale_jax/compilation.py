"""Compiled programs outlive the process: JAX's persistent cache, in the user's cache folder."""

import os
from pathlib import Path

import jax


def keep_compiled() -> None:
  """Turns the cache on, unless JAX_COMPILATION_CACHE_DIR (or the caller) has chosen already."""
  if jax.config.jax_compilation_cache_dir is None:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "stale_jax" / "xla"))
    # Without this, XLA's own per-fusion caches are written beside it and never read on CPU.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
