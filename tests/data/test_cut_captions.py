"""What is said of captions before training, and which examples keep their original caption."""

import numpy as np

from stale_jax.data.captions import describe_captions, keeps_original
from stale_jax.data.sources.digits import DIGITS, Digits
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


def test_a_share_of_the_examples_keeps_its_original_caption():
  names = [f"video {i}" for i in range(4000)]
  kept = {share: {name for name in names if keeps_original(name, share)} for share in (0.0, 0.3, 0.5, 1.0)}
  assert not kept[0.0] and len(kept[1.0]) == 4000 and kept[0.3] < kept[0.5]
  np.testing.assert_allclose(len(kept[0.3]) / 4000, 0.3, atol=0.03)


def test_original_captions_of_digits_name_the_digit_alone():
  plain, mixed = Digits(frames=4), Digits(frames=4, original_captions=0.5)
  changed = 0
  for i in range(100):
    want, got = plain[i], mixed[i]
    np.testing.assert_array_equal(got["clip"]["sight"], want["clip"]["sight"])
    if got["caption"] != want["caption"]:
      assert got["caption"] == f"a {DIGITS[want['labels']['digit']]}"
      changed += 1
  assert 35 <= changed <= 65
  # Evaluation asks for what the captions say, so the test split keeps them.
  assert mixed.test_split()[3]["caption"] == plain.test_split()[3]["caption"]
