"""Maximum-entropy video diffusion in JAX.

model = stale_jax.load()
movie = model.generate("a burglar in a green striped shirt runs right through a museum at night", seed=0)
"""

import importlib

from stale_jax.progress import Stage

# Public names and their modules, which are imported on first use so that `import stale_jax` is fast.
_OFFERS = {
  "load": "pipeline",
  "Model": "pipeline",
  "Movie": "movie",
  "Script": "script",
  "UserError": "errors",
  "train": "run",
}
__all__ = list(_OFFERS)


def __getattr__(name: str):
  if name not in _OFFERS:
    raise AttributeError(f"module 'stale_jax' has no attribute {name!r}")
  with Stage("importing JAX"):
    return getattr(importlib.import_module(f"stale_jax.{_OFFERS[name]}"), name)
