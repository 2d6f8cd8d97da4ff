"""Zero-shot classification: errors by brute force, shared noise, pruning, and the posterior."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.classification import Classifier, classify, denoising_errors
from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.evaluation.calibration import softmin
from stale_jax.pipeline import load
from stale_jax.processes import VP, GaussianFlow, Reflected, corrupt
from stale_jax.testing.models import drawn
from stale_jax.text import tokenize
from tests import micro

PROMPTS = [f"a red {digit} moves left quickly" for digit in ("one", "two", "three", "four", "five")]
ALL = Classifier(times=(4,), keep=())
PRUNED = Classifier(times=(1, 2, 4), keep=(0.6, 0.4))


@pytest.fixture(scope="module")
def model():
  return drawn(micro.config())


@pytest.fixture(scope="module")
def clip(model):
  examples = [model.source[i]["clip"] for i in range(3)]
  return {name: np.stack([each[name] for each in examples]) for name in ("sight", "touch")}


def test_errors_are_the_loss_by_brute_force(model, clip):
  keys = jax.random.split(jax.random.key(1), 2)
  got = denoising_errors(model, clip, np.array([2, 0]), PROMPTS[:2], np.array([0.5, 0.8]), keys)
  for row, (index, t) in enumerate([(2, 0.5), (0, 0.8)]):
    one = {name: jnp.asarray(x[index : index + 1]) for name, x in clip.items()}
    times = jnp.full((1, 4), t)
    noised = corrupt(model.system.diffusion.process, one, times, keys[row : row + 1])
    text = jnp.asarray(tokenize(PROMPTS[row : row + 1], model.system.network.text_length))
    x_t = {name: c.x_t for name, c in noised.items()}
    output = model.system.network.apply(model.params, x_t, times, Context(text=text))
    # The velocity of the flow is noise minus data, and the network's is (x_t - output) / t.
    squares = [
      np.square((x_t[name] - output[name]) / t - (x_t[name] - (1 - t) * x) / t + x).mean()
      for name, x in one.items()
    ]
    assert got[row] == pytest.approx(np.mean(squares), rel=1e-4)


def test_prompts_share_their_noise(model, clip):
  """Equal prompts have equal errors, also if a sense is absent; with noise of their own they do not."""
  for some in (clip, {"sight": clip["sight"]}):
    found = classify(model, some, [[PROMPTS[0]] * 3] * 3, [0, 1, 2], ALL)
    np.testing.assert_allclose(found.gaps, 0, atol=1e-6)
    np.testing.assert_allclose(found.probabilities, 1 / 3, atol=1e-3)
  keys = jax.random.split(jax.random.key(0), 3)
  own = denoising_errors(model, clip, np.zeros(3, int), PROMPTS[:1] * 3, np.full(3, 0.7), keys)
  assert np.ptp(own) > 1e-3


def test_pruning_spends_less_and_compares_at_shared_levels(model, clip):
  full, pruned = (classify(model, clip, [PROMPTS] * 3, [4, 5, 6], each) for each in (ALL, PRUNED))
  assert (full.levels == 4).all() and PRUNED.kept(5) == [3, 2]
  assert np.sort(pruned.levels, 1).tolist() == [[1, 1, 2, 4, 4]] * 3
  for found in (full, pruned):
    best = found.gaps.argmin(1)
    assert (found.gaps >= 0).all() and (found.gaps[np.arange(3), best] == 0).all()
    assert (found.probabilities.argmax(1) == best).all()
    np.testing.assert_allclose(found.probabilities, softmin(found.gaps, Classifier().temperature))
  # Brute force of one clip, from the errors at every level.
  keys = [jax.random.fold_in(jax.random.key(5), level) for level in range(4)]
  errors = np.array(
    [
      [denoising_errors(model, clip, np.array([1]), [p], ALL.levels[[i]], keys[i][None])[0] for i in range(4)]
      for p in PROMPTS
    ]
  )
  np.testing.assert_allclose(full.gaps[1], errors.mean(1) - errors.mean(1).min(), atol=1e-5)
  alive = np.argsort(errors[:, 0])[:3]
  alive = alive[np.argsort(errors[alive, :2].mean(1))[:2]]
  winner = alive[errors[alive].mean(1).argmin()]
  for prompt, count in enumerate(pruned.levels[1]):
    want = (errors[prompt, :count] - errors[winner, :count]).mean()
    assert pruned.gaps[1, prompt] == pytest.approx(want, abs=1e-5)


def test_a_posterior_does_not_depend_on_the_batch(model, clip):
  many = classify(model, clip, [PROMPTS] * 3, [0, 1, 2], PRUNED)
  one = classify(model, {name: x[1:2] for name, x in clip.items()}, [PROMPTS], [1], PRUNED)
  np.testing.assert_allclose(one.gaps[0], many.gaps[1], atol=1e-5)
  backwards = classify(model, clip, [PROMPTS[::-1]] * 3, [0, 1, 2], PRUNED)
  np.testing.assert_allclose(backwards.gaps, many.gaps[:, ::-1], atol=1e-5)
  assert np.abs(classify(model, clip, [PROMPTS] * 3, [7, 8, 9], PRUNED).gaps - many.gaps).max() > 1e-4


def test_every_stage_spreads_its_levels_evenly():
  levels = Classifier(times=(2, 4, 8, 16), keep=(0.5, 0.5, 0.5), interval=(0.2, 1.0)).levels
  for count in (2, 4, 8, 16):
    np.testing.assert_allclose(np.diff(np.sort(levels[:count])), 0.8 / count)
  assert 0.2 < levels.min() and levels.max() < 1 and len(set(Classifier(times=(11,), keep=()).levels)) == 11


def test_the_default_needs_less_than_forty_percent():
  settings = Classifier()
  for prompts in (10, 24, 480):
    counts = [prompts, *settings.kept(prompts)]
    stages = np.diff([0, *settings.times])
    assert counts @ stages <= 0.4 * prompts * settings.times[-1]
  assert settings.kept(2) == [2, 2] and settings.kept(3) == [2, 2]


def test_every_process_has_an_error(model, clip):
  for process in (Reflected(), GaussianFlow(), VP()):
    diffusion = dataclasses.replace(model.system.diffusion, process=process)
    other = dataclasses.replace(model, system=dataclasses.replace(model.system, diffusion=diffusion))
    found = classify(other, {"sight": clip["sight"]}, [PROMPTS] * 3, [0, 1, 2], PRUNED)
    assert np.isfinite(found.gaps).all() and found.gaps.max() > 1e-5


@pytest.mark.parametrize(
  ("settings", "words"),
  [
    ({"times": (4, 2)}, "increasing"),
    ({"times": (0, 1, 2)}, "at least 1"),
    ({"keep": (0.5,)}, "2 shares"),
    ({"keep": (0.0, 1.0)}, "shares in"),
    ({"interval": (0.9, 0.2)}, "must be the smaller"),
    ({"interval": (0.2, 1.2)}, "interval"),
    ({"temperature": 0.0}, "temperature"),
  ],
)
def test_settings_are_checked(settings, words):
  with pytest.raises(UserError, match=words):
    Classifier(**settings)


def test_misuse_is_one_line(model, clip):
  one = {name: x[:1] for name, x in clip.items()}
  for prompts, seeds in (([PROMPTS[:1]], [0]), ([PROMPTS], [0, 1]), ([PROMPTS, PROMPTS[:2]], [0, 1])):
    with pytest.raises(UserError, match="two or more prompts, as many for each clip, and a seed per clip"):
      classify(model, one, prompts, seeds)
  with pytest.raises(UserError, match="only white space"):
    classify(model, one, [[" ", "a"]], [0])
  with pytest.raises(UserError, match="is an autoencoder"):
    classify(load("autoencoder"), one, [PROMPTS], [0])
