"""The suite that holds trajectories against their law: right on real ones, and not to be fooled."""

import dataclasses
import types

import numpy as np
import pytest

from stale_jax.data import Digits, Lorenz
from stale_jax.errors import UserError
from stale_jax.evaluation import evaluate_dynamics
from stale_jax.evaluation.dynamics import defect, lyapunov, marginals
from stale_jax.system import Data

SOURCE = Lorenz(frames=32)


class Stub:
  """A model that shows real clips of the right caption, or spoiled ones."""

  def __init__(self, spoil=lambda x: x, source=SOURCE):
    self.system = types.SimpleNamespace(data=Data(source=source, senses=tuple(source.senses.values())[:1]))
    self._spoil = spoil

  def sample(self, prompts, seeds):
    pool = {}
    for i in range(400):
      example = dataclasses.replace(SOURCE, split="train", seed=9)[i]
      pool.setdefault(example["caption"], []).append(example["clip"]["state"])
    clips = [pool[p][s % len(pool[p])] for p, s in zip(prompts, seeds, strict=True)]
    return {"state": self._spoil(np.stack(clips))}


def score(spoil=lambda x: x):
  return evaluate_dynamics(Stub(spoil), clips=128)[0]


@pytest.fixture(scope="module")
def honest():
  return score()


def test_real_clips_are_at_the_floor(honest):
  for scores in (honest, honest["real"]):
    assert scores["defect"] < 1e-5 and scores["caption"] == 1 and scores["clipped"] == 0
    assert scores["marginals"] < 0.05
    # The exponent is .906; a finite stretch's differs, more on average the shorter it is.
    assert scores["lyapunov"] == pytest.approx(0.906, abs=0.2 + 3 * scores["lyapunov_error"])
  assert honest["defect_shuffled"] > 3


def test_frames_in_another_order_keep_the_marginals_and_break_the_law(honest):
  order = np.random.default_rng(0).permutation(32)
  scores = score(lambda x: x[:, order])
  assert scores["defect"] > 1e5 * honest["defect"] and scores["defect"] > 1
  assert scores["marginals_each"] == pytest.approx(honest["marginals_each"])


def test_noise_another_speed_and_one_trajectory_for_all_are_seen(honest):
  noise = score(lambda x: x + 0.01 * np.random.default_rng(0).normal(size=x.shape).astype(np.float32))
  assert 0.05 < noise["defect"] < 0.5
  assert score(lambda x: np.repeat(x[:, ::2], 2, 1))["defect"] > 0.3
  one = score(lambda x: np.repeat(x[:1], len(x), 0))
  assert one["marginals"] > 3 * honest["marginals"] and one["caption"] < 0.5


def test_the_other_wing_is_seen(honest):
  scores = score(lambda x: x * np.array([-1, -1, 1], np.float32))
  # The law is symmetric, so that only the caption tells.
  assert scores["defect"] < 1e-5 and scores["caption"] == 0
  assert scores["caption_each"] == {"begin": 0, "end": 0}


def test_the_parts_are_their_formulas():
  rng = np.random.default_rng(0)
  x = rng.uniform(-1, 1, (6, 5, 2))
  matrix = np.array([[2.0, 1.0], [0.0, 0.5]])

  def advance(state):
    return state @ matrix.T

  off, moved = 0.0, 0.0
  for clip in x:
    for now, then in zip(clip[:-1], clip[1:], strict=True):
      off += np.sum((then - matrix @ now) ** 2)
      moved += np.sum((matrix @ now - now) ** 2)
  assert defect(x, advance) == pytest.approx(np.sqrt(off / moved))
  assert defect(np.cumprod(np.full((3, 9, 1), 1.1), 1), lambda s: 1.1 * s) == pytest.approx(0, abs=1e-12)
  assert defect(np.repeat(x[:, :1], 5, 1), advance) == pytest.approx(1)
  # A linear law's exponent is the logarithm of its largest eigenvalue, wherever one is.
  np.testing.assert_allclose(lyapunov(rng.uniform(-1, 1, (4, 60, 2)), advance, 3.0), 3 * np.log(2), atol=1e-6)
  a, b = rng.normal(size=(5, 8, 2)), rng.normal(size=(10, 4, 2))
  want = [np.abs(np.sort(a[..., i].ravel()) - np.sort(b[..., i].ravel())).mean() for i in range(2)]
  np.testing.assert_allclose(marginals(a, b), want)


def test_a_source_without_a_law_is_refused():
  with pytest.raises(UserError, match="dynamics are known"):
    evaluate_dynamics(Stub(source=Digits()))
