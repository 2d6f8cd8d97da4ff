"""Captions as bytes."""

import jax.numpy as jnp
import numpy as np

from stale_jax import text


def test_bytes_go_in_and_come_out_in_any_language():
  for caption in ("a red seven", "красная семёрка", "赤い七", "😂"):
    tokens = text.tokenize([caption], 64)[0]
    assert tokens[0] == text.START
    assert bytes(int(t) - 2 for t in tokens[1:] if t != text.PAD).decode() == caption


def test_what_does_not_fit_is_cut_at_a_character():
  tokens = text.tokenize(["aéé"], 5)[0]  # 1 + 2 + 2 bytes in 4 places.
  assert bytes(int(t) - 2 for t in tokens[1:] if t).decode() == "aé"


def test_dropping_is_the_empty_caption():
  tokens = jnp.asarray(text.tokenize(["one", "two"], 8))
  dropped = text.drop(tokens, jnp.array([True, False]))
  np.testing.assert_array_equal(dropped[0], tokens[0])
  np.testing.assert_array_equal(dropped[1], text.tokenize([""], 8)[0])
