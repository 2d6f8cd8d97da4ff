"""The denoising objective against its formula, and what training withholds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Batch, Context
from stale_jax.objectives import Denoising, predict
from stale_jax.processes import LogitNormal, Uniform, UniformFlow
from stale_jax.training.steps.denoise import DenoisingLoss

SIZE, FRAMES = 64, 4


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  clip = {name: jnp.float32(rng.uniform(-1, 1, (SIZE, FRAMES, n))) for name, n in (("a", 3), ("b", 5))}
  valid = {"a": jnp.asarray(rng.random((SIZE, FRAMES)) < 0.5)}
  words = jnp.asarray(text.tokenize([f"caption {i}" for i in range(SIZE)], 16))
  return Batch(clip=clip, context=Context(text=words, valid=valid), index=jnp.arange(SIZE))


def half(clip, t, context):
  return {name: x / 2 for name, x in clip.items()}


def test_it_is_the_weighted_mean_over_real_frames(batch):
  process = UniformFlow()
  prediction = predict(half, process, Uniform(), batch, jax.random.key(0))
  metrics = Denoising(process=process, weights={"b": 0.3})(prediction, batch)
  want = {}
  for name, x in batch.clip.items():
    x_t = np.asarray(prediction.corruption[name].x_t, np.float64)
    t = np.asarray(prediction.t, np.float64)[..., None]
    error = np.square((x_t / 2 - np.asarray(x)) / np.maximum(t, 0.1))
    want[name] = error[np.asarray(batch.context.valid[name])].mean() if name == "a" else error.mean()
    np.testing.assert_allclose(metrics[f"loss/{name}"], want[name], rtol=1e-5)
  np.testing.assert_allclose(metrics["loss"], want["a"] + 0.3 * want["b"], rtol=1e-5)


def test_what_is_not_real_changes_nothing(batch):
  process, real = UniformFlow(), batch.context.valid["a"][..., None]
  other = batch.replace(clip={**batch.clip, "a": jnp.where(real, batch.clip["a"], 0.123)})
  losses = [
    Denoising(process=process)(predict(half, process, Uniform(), b, jax.random.key(0)), b)["loss"]
    for b in (batch, other)
  ]
  np.testing.assert_allclose(*losses, rtol=1e-6)


def test_times_are_the_density_s_and_senses_share_them(batch):
  time_sampler = LogitNormal(mean=-1.5, std=0.5)
  prediction = predict(half, UniformFlow(), time_sampler, batch, jax.random.key(1))
  t = np.asarray(prediction.t)
  assert (t == t[:, :1]).all() and t.shape == (SIZE, FRAMES)
  logit = np.log((1 - t[:, 0]) / t[:, 0])
  assert logit.mean() == pytest.approx(-1.5, abs=0.1) and logit.std() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_captions_and_company_are_withheld_together_and_as_often_as_said(batch, share):
  seen = []

  class Listener:
    labels, micro, mask = 0, (), False

    def apply(self, params, clip, t, context, rngs):
      seen.append((context.text, context.independent_senses))
      return half(clip, t, context)

  process = UniformFlow()
  loss = DenoisingLoss(
    network=Listener(),
    process=process,
    time_sampler=Uniform(),
    objective=Denoising(process=process),
    condition_dropout=share,
  )
  counts = []
  for key in range(20):
    loss({}, batch, jax.random.key(key))
    words, independent_senses = seen[-1]
    silent = (np.asarray(words)[:, 1:] == 0).all(1)
    np.testing.assert_array_equal(silent, independent_senses)
    np.testing.assert_array_equal(np.asarray(words)[~silent], np.asarray(batch.context.text)[~silent])
    counts.append(silent.mean())
  assert np.mean(counts) == pytest.approx(share, abs=0.05)
