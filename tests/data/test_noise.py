"""Noise: of the shapes that were asked for, uniform, its own at every index, the same every time."""

import numpy as np
import pytest
from scipy import stats

from stale_jax.data import Noise
from stale_jax.errors import UserError

SIZES = {"frames": 5, "height": 4, "width": 6, "channels": 3, "patch": (1, 2, 2)}


def test_an_example_is_uniform_and_its_own():
  source = Noise(**SIZES, caption=12)
  examples = [source[index] for index in range(40)]
  for index, example in enumerate(examples):
    assert example["clip"]["sight"].shape == (5, *source.senses["sight"].shape) and example["index"] == index
    assert len(example["caption"]) == 12
    np.testing.assert_array_equal(example["clip"]["sight"], Noise(**SIZES)[index]["clip"]["sight"])
  values = np.concatenate([example["clip"]["sight"].ravel() for example in examples])
  assert stats.kstest(values, stats.uniform(-1, 2).cdf).pvalue > 1e-3
  assert len({example["caption"] for example in examples}) == 40
  assert np.abs(Noise(**SIZES, seed=1)[0]["clip"]["sight"] - examples[0]["clip"]["sight"]).max() > 0.1


def test_tokens_are_counted_by_its_patch():
  assert Noise(**SIZES).senses["sight"].grid(5) == (5, 2, 3)


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"patch": (1, 3, 2)}, "must divide"),
    ({"rate": 0.0}, "must lie from 0.001"),
    ({"channels": 0}, "must lie from 1"),
  ],
)
def test_misuse(changes, words):
  with pytest.raises(UserError, match=words):
    Noise(**{**SIZES, **changes})
