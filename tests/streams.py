"""A small model, and what goes into its stream batches."""

import jax
import jax.numpy as jnp

from stale_jax.clip import Context
from stale_jax.sampling.stream.batch import Entering, stream_batch
from stale_jax.testing.models import drawn
from stale_jax.text import tokenize
from tests import micro

LEVELS = (1.0, 0.9, 0.6)
PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]


def stream_model(**overrides):
  """A small causal model with random parameters."""
  return drawn(micro.config(source__patch=1, model__causal=True, times__independent=True, **overrides))


def programs(model, levels=LEVELS, **options):
  parts = model.system.network, model.system.diffusion.process, model.system.data.senses
  options = {"chunk": 1, "window": 4, **options}
  return stream_batch(*parts, levels=levels, **options)


def keys(*seeds):
  return jax.vmap(jax.random.key)(jnp.array(seeds, jnp.uint32))


def encoded(model, prompts):
  network = model.system.network
  context = Context(text=jnp.asarray(tokenize(prompts, network.text_length)))
  return jax.jit(network.encode_captions)(model.params, context)


def entering(context, which, begins=None, **more):
  which = jnp.asarray(which)
  begins = jnp.zeros(len(which), bool) if begins is None else jnp.asarray(begins)
  more = {"source": None, "scale": jnp.ones(len(which), jnp.float32), **more}
  return Entering(which=which, begins=begins, context=context, **more)
