"""The second text encoder: hashed words; and text encoders that do not read a caption."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.models.words import hash_words
from stale_jax.objectives import kept_encoders
from stale_jax.testing.models import moved
from stale_jax.text import tokenize
from stale_jax.training.initial import init_params
from stale_jax.training.steps.denoise import Denoise
from tests import micro
from tests.models import small

CAPTIONS = ["a red seven moves", "moves  a\tseven", "", "über naïve a"]


def hash_of(word: str) -> int:
  """The definition, in Python's integers."""
  total = sum((byte + 2) * pow(0x01000193, i + 1, 1 << 32) for i, byte in enumerate(word.encode())) % (
    1 << 32
  )
  mixed = (total ^ (total >> 15)) * 0x9E3779B1 % (1 << 32)
  return mixed ^ (mixed >> 16)


@pytest.mark.parametrize("words", [2, 6])
def test_hashes_are_those_of_the_words(words):
  hashes, real = hash_words(jnp.asarray(tokenize(CAPTIONS, 24)), words)
  for row, caption in enumerate(CAPTIONS):
    want = [hash_of(word) for word in caption.split()][:words]
    assert np.asarray(hashes)[row, : len(want)].tolist() == want
    assert np.asarray(real)[row].tolist() == [i < len(want) for i in range(words)]


def test_different_words_rarely_share_a_hash():
  words = [f"{a}{b}" for a in ("seven", "red", "moves") for b in range(200)]
  hashes, _ = hash_words(jnp.asarray(tokenize(words, 12)), 1)
  assert len(np.unique(hashes)) == len(words)
  assert len(np.unique(np.asarray(hashes) % 1024)) > 400  # Random draws would occupy 454.


@functools.partial(jax.jit, static_argnums=(0, 6))
def outputs(model, params, clip, t, text, encoders=None, encoded=False):
  context = Context(text=text, encoders=encoders)
  if encoded:
    context = model.encode_captions(params, context)
  return model.apply(params, clip, t, context)["sight"]


def test_each_encoder_matters_and_none_is_the_empty_caption():
  model = small.model(word_buckets=64)
  params, (clip, t, _) = small.params(model), small.inputs()
  text, nothing = (jnp.asarray(tokenize(texts, 24)) for texts in (CAPTIONS[:2], ["", ""]))
  either = [jnp.asarray([used] * 2) for used in ((True, True), (True, False), (False, True), (False, False))]
  both = outputs(model, params, clip, t, text)
  np.testing.assert_array_equal(outputs(model, params, clip, t, text, either[0]), both)
  for encoders in either[1:3]:
    one = outputs(model, params, clip, t, text, encoders)
    assert np.abs(one - both).max() > 1e-4
    assert np.abs(one - outputs(model, params, clip, t, nothing)).max() > 1e-4
    np.testing.assert_allclose(outputs(model, params, clip, t, text, encoders, True), one, atol=1e-5)
  none = outputs(model, params, clip, t, text, either[3])
  np.testing.assert_array_equal(none, outputs(model, params, clip, t, nothing))


def test_a_dropped_encoder_has_no_gradient():
  model = small.model(word_buckets=64)
  params, (clip, t, _) = small.params(model), small.inputs()
  text = jnp.asarray(tokenize(CAPTIONS[:2], 24))

  def size(encoders):
    def loss(params):
      return jnp.square(outputs(model, params, clip, t, text, jnp.asarray([encoders] * 2))).sum()

    grads = jax.jit(jax.grad(loss))(params)["params"]
    parts = grads["words"]["embedding"], grads["text"]["bytes"]["embedding"]
    return [float(jnp.abs(part).max()) for part in parts]

  words, spelling = size((True, False))
  assert words == 0 and spelling > 0
  words, spelling = size((False, True))
  # The encoder of bytes still reads the start token of the empty caption.
  assert words > 0


def test_encoders_are_dropped_independently():
  kept = np.asarray(kept_encoders((0.464, 0.2), 20_000, jax.random.key(0)))
  np.testing.assert_allclose(1 - kept.mean(0), (0.464, 0.2), atol=0.01)
  assert np.abs(np.corrcoef(kept.T)[0, 1]) < 0.02


def test_training_drops_them():
  """With both always dropped, the loss is that of unconditional training."""
  config = micro.config(model__word_buckets=64)
  experiment = build(config)
  loss = Denoise().loss(experiment)
  none = dataclasses.replace(
    experiment,
    training=dataclasses.replace(
      experiment.training,
      settings=dataclasses.replace(experiment.training.settings, encoder_dropout=(1.0, 1.0)),
    ),
  )
  params = moved(init_params(experiment, jax.random.key(0)))
  source = experiment.data.source
  examples = [source[i] for i in range(4)]
  key = jax.random.key(1)

  def measured(chosen, captions):
    some = [{**x, "caption": y} for x, y in zip(examples, captions, strict=True)]
    batch = collate(some, experiment.data.senses, experiment.network.text_length)
    return jax.jit(chosen)(params, batch, key)[0]

  captions = [x["caption"] for x in examples]
  dropping = Denoise().loss(none)
  assert measured(dropping, captions) == measured(dropping, [""] * 4)
  assert measured(loss, captions) != measured(loss, [""] * 4)


def test_dropping_needs_two_encoders():
  with pytest.raises(UserError, match=r"encoder_dropout=\(0.5, 0.5\) needs two text encoders"):
    build(micro.config(training__encoder_dropout=(0.5, 0.5)))
