"""The similarity filter and the noise controller against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.sampling.stream.noise import NoiseController
from stale_jax.sampling.stream.similarity import SimilarityFilter


def processed(kind: SimilarityFilter, frames, seed=0):
  state, step = kind.start(frames[0]), jax.jit(kind.__call__)
  out = []
  for number, frame in enumerate(frames):
    state, is_processed = step(state, frame, jax.random.fold_in(jax.random.key(seed), number))
    out.append(bool(is_processed))
  return np.array(out)


def test_a_still_source_is_processed_only_when_the_cap_demands_it():
  kind, count = SimilarityFilter(most=10), 100
  still = [jnp.full((4, 4, 3), 0.3)] * count
  assert processed(kind, still).sum() <= -(-count // 11) + 1
  black = [jnp.full((4, 4, 3), -1.0)] * 12
  assert processed(kind, black).sum() == 2


def test_unrelated_frames_are_all_processed():
  rng = np.random.default_rng(0)
  frames = [jnp.asarray(rng.choice([-1.0, 1.0], (8, 8, 3)), jnp.float32) for _ in range(50)]
  assert processed(SimilarityFilter(), frames).all()


def test_frames_of_middling_similarity_are_skipped_with_the_stated_probability():
  """Each new frame differs from the reference by the same angle, whichever frame was processed last."""
  kind, rng, count = SimilarityFilter(threshold=0.9, most=10**6), np.random.default_rng(1), 2000
  cosine = 0.96
  expected = (cosine - 0.9) / 0.1
  a = rng.uniform(0.2, 0.8, 64)
  side = rng.normal(size=64)
  side -= a * (a @ side) / (a @ a)
  b = a * cosine + side * np.linalg.norm(a) / np.linalg.norm(side) * np.sqrt(1 - cosine**2)
  step, skipped = jax.jit(kind.__call__), 0
  state, _ = step(kind.start(jnp.asarray(a)), jnp.asarray(2 * a - 1, jnp.float32), jax.random.key(0))
  for number in range(count):
    key = jax.random.fold_in(jax.random.key(7), number)
    skipped += not bool(step(state, jnp.asarray(2 * b - 1, jnp.float32), key)[1])
  error = 3 * np.sqrt(expected * (1 - expected) / count)
  assert abs(skipped / count - expected) <= error


def test_the_noise_is_the_moving_average_of_the_papers_formula():
  kind, rng = NoiseController(rate=0.6, memory=3, sigma=0.5), np.random.default_rng(0)
  frames = [rng.uniform(-1, 1, (4, 4)) * size for size in (0, 0, 0.1, 0.5, 0.2, 0, 0, 0, 0)]
  state, noise, past = kind.start(jnp.asarray(frames[0])), 0.8, []
  for before, frame in zip(frames, frames[1:], strict=False):
    state = kind(state, jnp.asarray(frame))
    past = [*past, np.sqrt(np.mean((frame - before) ** 2))][-3:]
    noise = 0.6 * (0.8 - 0.1 * min(max(past) / 0.5, 1)) + 0.4 * noise
    np.testing.assert_allclose(state.noise, noise, rtol=1e-5)


def test_still_sources_get_most_noise_and_fast_ones_least():
  kind = NoiseController()
  still = fast = kind.start(jnp.zeros((4, 4)))
  for number in range(60):
    still = kind(still, jnp.zeros((4, 4)))
    fast = kind(fast, jnp.full((4, 4), (-1.0) ** number))
  np.testing.assert_allclose([still.noise, fast.noise], [0.8, 0.7], atol=1e-6)


def test_wrong_settings_are_refused():
  with pytest.raises(UserError, match="must not exceed"):
    NoiseController(least=0.9, most=0.5)
  with pytest.raises(UserError, match="threshold"):
    SimilarityFilter(threshold=1.0)
