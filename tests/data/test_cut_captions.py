"""What is said of captions before training."""

from stale_jax.data.captions import describe_captions
from stale_jax.text import tokenize


def test_captions_that_are_read_whole_are_not_mentioned():
  assert describe_captions([], 96) == describe_captions(["a cat", "x" * 95], 96) == []


def test_captions_that_are_cut_are_counted():
  captions = ["x" * 95, "x" * 96, "ü" * 48, "a cat"]
  [line] = describe_captions(captions, 96)
  assert "2 of 4 are longer than 95 bytes, the longest has 96" in line and "model.text_length=96" in line
  cut = tokenize(captions, 96)
  assert (cut[0] == cut[1]).all() and (
    cut[2] != 0
  ).sum() == 1 + 94  # Two captions became equal; no half letter.


def test_missing_captions_are_counted():
  assert describe_captions(["", "a", ""], 96) == ["captions: 2 of 3 examples have none."]
  [line] = describe_captions(["", ""], 96)
  assert "none of 2 examples" in line and "--prompt=''" in line
