"""The held-out loss: deterministic, the loss indeed, and lower for a model that has learnt."""

import dataclasses
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.evaluation import evaluate_denoising
from stale_jax.evaluation.denoising import TIMES
from stale_jax.pipeline import Model, load
from stale_jax.text import tokenize
from stale_jax.training.initial import init_params
from tests import micro


@pytest.fixture(scope="module")
def trained(micro_run):
  return load(micro_run)


def test_it_is_the_loss_by_brute_force(trained):
  experiment = trained.system
  source = dataclasses.replace(experiment.data.source, split="test")
  apply = jax.jit(experiment.network.apply)
  want = {"sight": [], "touch": []}
  for index in range(3):
    example = source[index]
    text = tokenize([example["caption"]], experiment.network.text_length)
    for i, time in enumerate(TIMES):
      key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), i), index)
      t = jnp.full((1, 4), time)
      noisy = {
        name: (1 - time) * example["clip"][name]
        + time
        * jax.random.uniform(
          jax.random.fold_in(key, zlib.crc32(name.encode())), (1, *example["clip"][name].shape), minval=-1
        )
        for name in want
      }
      output = apply(trained.params, noisy, t, Context(text=text))
      for name, values in want.items():
        error = np.asarray(output[name][0], np.float64) - example["clip"][name]
        values.append(np.mean(error**2) / max(time, 0.1) ** 2)
  scores, clip = evaluate_denoising(trained, clips=3, seed=5)
  assert clip is None
  each = {name: np.reshape(values, (3, len(TIMES))) for name, values in want.items()}
  for name, values in each.items():
    assert scores[f"loss/{name}"] == pytest.approx(values.mean(), rel=1e-4)
  every = (each["sight"] + each["touch"]) / 2
  assert scores["loss"] == pytest.approx(every.mean(), rel=1e-4)
  assert scores["error"]["loss"] == pytest.approx(every.mean(1).std(ddof=1) / np.sqrt(3), rel=1e-3)
  np.testing.assert_allclose(list(scores["at"].values()), every.mean(0), rtol=1e-4)


def test_it_is_deterministic_and_a_clip_s_loss_is_its_own(trained):
  first, again = (evaluate_denoising(trained, clips=66)[0] for _ in range(2))
  assert first == again
  # Sixty-six clips are two batches, the second filled up.
  few = evaluate_denoising(trained, clips=64)[0]
  last = [66 * first[name] - 64 * few[name] for name in ("loss", "loss/sight")]
  assert min(last) > 0 and few["loss"] != first["loss"]
  assert evaluate_denoising(trained, clips=64, seed=1)[0]["loss"] != few["loss"]


def test_it_is_lower_for_a_model_that_has_learnt(trained):
  experiment = build(micro.config())
  untrained = Model(experiment, init_params(experiment, jax.random.key(0)), "untrained")
  learnt, fresh = (evaluate_denoising(model, clips=64)[0] for model in (trained, untrained))
  for name in ("loss", "loss/sight", "loss/touch"):
    gap = fresh[name] - learnt[name]
    assert gap > 10 * np.hypot(fresh["error"][name], learnt["error"][name]), name
