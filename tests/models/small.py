"""A small model, random inputs, and parameters away from the zeros of adaLN-zero."""

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
  """A clip, a time a frame, and captions of different lengths."""
  rng = np.random.default_rng(seed)
  clip = {s.name: jnp.asarray(rng.uniform(-1, 1, (BATCH, FRAMES, *s.shape)), jnp.float32) for s in SENSES}
  context = Context(text=jnp.asarray(text.tokenize(["a red two", "ein blaues Übel"], 24)))
  return clip, jnp.asarray(rng.uniform(0, 1, (BATCH, FRAMES)), jnp.float32), context


def params(model, scale: float = 0.1):
  """Of `model`; a parameter's draw depends on its name alone, so that models share what they share."""
  shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs())
  names, tree = jax.tree_util.tree_flatten_with_path(shapes)

  def draw(path, shape):
    name = jax.tree_util.keystr(path)
    rng = np.random.default_rng(list(name.encode()))
    x = rng.standard_normal(shape.shape)
    return jnp.asarray(scale * x + ("'scale'" in name) if len(shape.shape) < 2 else x / shape.shape[0] ** 0.5)

  return jax.tree.unflatten(tree, [draw(*entry).astype(jnp.float32) for entry in names])


def close(a, b, atol: float = 1e-5) -> None:
  """Asserts that every sense of the clip `b` is that of `a`."""
  for name in b:
    np.testing.assert_allclose(a[name], b[name], atol=atol)


def differ(a, b, by: float) -> bool:
  """Whether every sense does, somewhere by more than `by`."""
  return all(np.abs(a[name] - b[name]).max() > by for name in b)
