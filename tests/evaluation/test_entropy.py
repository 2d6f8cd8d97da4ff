"""Entropies are what they should be, of few samples as of many."""

import numpy as np
import pytest

from stale_jax.evaluation.entropy import direction_bits, entropy, grey_bits, space_bits


def shannon(shares):
  shares = np.asarray(shares)[np.asarray(shares) > 0]
  return -(shares * np.log2(shares)).sum()


@pytest.mark.parametrize("shares", [np.ones(4) / 4, np.ones(8) / 8, [0.7, 0.1, 0.1, 0.1], [0.5, 0.25, 0.25]])
@pytest.mark.parametrize("n", [12, 24, 64])
def test_the_bias_of_few_samples_is_gone(shares, n):
  counts = np.random.default_rng(0).multinomial(n, shares, 20_000)
  found, truth = entropy(counts), shannon(shares)
  error = found.std() / np.sqrt(len(found))
  plain = np.mean([shannon(row / n) for row in counts[:4000]])
  miller = plain + ((counts > 0).sum(1).mean() - 1) / (2 * n * np.log(2))
  assert abs(found.mean() - truth) < 0.02 + 3 * error
  assert abs(found.mean() - truth) < 0.35 * (truth - plain)
  assert abs(found.mean() - truth) < abs(miller - truth) + 3 * error


def test_of_many_samples_it_is_shannons():
  counts = np.array([[70_000, 20_000, 10_000], [100_000, 0, 0], [0, 0, 0]])
  np.testing.assert_allclose(entropy(counts), [shannon([0.7, 0.2, 0.1]), 0, 0], atol=1e-4)


def test_directions_over_frames_and_over_clips():
  angles = np.random.default_rng(0).integers(0, 4, (64, 50)) * np.pi / 2
  moves = np.stack([np.cos(angles), np.sin(angles)], -1)
  frames, clips = direction_bits(moves, 0.1)
  assert frames.mean() == pytest.approx(2, abs=0.02) and clips == pytest.approx(2, abs=0.02)
  # Each keeps its own; all agree and turn together; nobody moves.
  frames, clips = direction_bits(np.repeat(moves[:, :1], 50, 1), 0.1)
  assert frames.max() == pytest.approx(0, abs=1e-9) and clips == pytest.approx(2, abs=0.1)
  frames, clips = direction_bits(np.repeat(moves[:1], 64, 0), 0.1)
  assert frames.min() > 1.5 and clips == pytest.approx(0, abs=1e-9)
  frames, clips = direction_bits(0.05 * moves, 0.1)
  assert frames.max() == 0 and clips == 0


def test_bits_of_a_frame():
  rng = np.random.default_rng(0)
  light = rng.uniform(size=(5, 64, 64))
  np.testing.assert_allclose(grey_bits(light), 4, atol=0.01)
  assert grey_bits(np.full((2, 16, 16), 0.3)) == pytest.approx(0, abs=1e-9)
  half = np.zeros((8, 8))
  half[:, :4] = 0.5
  assert grey_bits(half) == pytest.approx(1, abs=0.02) and space_bits(half) == pytest.approx(5)
  assert space_bits(np.ones((2, 8, 8))) == pytest.approx(6) and space_bits(np.zeros((8, 8))) == 0
