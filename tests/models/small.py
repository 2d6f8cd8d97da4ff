"""A small model, random inputs, and parameters away from the zeros of adaLN-zero."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax import text
from stale_jax.clip import Context
from stale_jax.data import Digits
from stale_jax.models import Transformer

BATCH, FRAMES = 2, 8
SOURCE = Digits(canvas=12, frames=FRAMES, patch=2)
SENSES = tuple(SOURCE.senses[name] for name in ("sight", "touch"))


def model(**fields) -> Transformer:
  sizes = {"width": 32, "side_width": 16, "text_width": 16, "condition_width": 16, "depth": 2, "heads": 2}
  return Transformer(senses=SENSES, text_length=24, **{**sizes, **fields})


def inputs(seed: int = 0):
  """A clip, one time per frame, and captions of different lengths."""
  rng = np.random.default_rng(seed)
  clip = {s.name: jnp.asarray(rng.uniform(-1, 1, (BATCH, FRAMES, *s.shape)), jnp.float32) for s in SENSES}
  context = Context(text=jnp.asarray(text.tokenize(["a red two", "ein blaues Übel"], 24)))
  return clip, jnp.asarray(rng.uniform(0, 1, (BATCH, FRAMES)), jnp.float32), context


def params(model, scale: float = 0.1):
  """Parameters of `model`. Each depends only on its path, so models have equal values for common paths."""

  def one(path, parameter):
    name = "".join(f"['{part}']" for part in ("params", *path.split("/")))
    x = np.random.default_rng(list(name.encode())).standard_normal(parameter.shape)
    return x / parameter.shape[0] ** 0.5 if parameter.is_matrix else scale * x + ("'scale'" in name)

  def draw(parameter):
    x = np.stack([one(path, parameter) for path in parameter.paths])
    return jnp.asarray(np.reshape(x, parameter.stored_shape), jnp.float32)

  return jax.tree.map(draw, model.declared)


@functools.partial(jax.jit, static_argnums=0)
def apply(model, params, clip, t, context, rngs=None):
  """`model.apply`, compiled as a whole: operation by operation it takes XLA three times as long."""
  return model.apply(params, clip, t, context, rngs=rngs)


def close(a, b, atol: float = 1e-5) -> None:
  """Asserts that every sense of the clip `b` equals that of `a`."""
  for name in b:
    np.testing.assert_allclose(a[name], b[name], atol=atol)


def differ(a, b, by: float) -> bool:
  """Whether every sense of the clips differs by more than `by` somewhere."""
  return all(np.abs(a[name] - b[name]).max() > by for name in b)
