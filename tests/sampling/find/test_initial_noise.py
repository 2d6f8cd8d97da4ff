"""Initial noise in requests: samplers start from it, draw what it lacks, or refuse it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.checkpoints.prior_file import load_prior, save_prior
from stale_jax.checks import keys_of
from stale_jax.errors import UserError
from stale_jax.processes import fold_keys
from stale_jax.sampling import Request, prior
from stale_jax.sampling.noise_prior import Coarse
from stale_jax.testing.models import drawn
from tests import micro

CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True, "first__share": 0.5}
PROMPTS, SEEDS = ["a red seven moves left quickly", "a cyan two moves down slowly"], [3, 4]
SHORT = {"steps": 3, "guidance": 3.0}

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def model():
  return drawn(micro.config(**CAUSAL, rollout__chunk=3))


def close(a, b, atol=1e-4):
  for name in b:
    np.testing.assert_allclose(a[name], b[name], atol=atol)


def chunks(model, how, **noise):
  """Movies of 4 frames, and their initial noise as the sampler draws it for chunks of 3 frames."""
  system, keys = model.system, keys_of(SEEDS)
  sampler = system.sampler(dataclasses.replace(system.diffusion.rollout, how=how))
  request = Request(prompts=PROMPTS, keys=keys, frames=4, settings=model.settings(**SHORT), **noise)
  parts = list(sampler(model.params, request))
  return {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}


def test_the_noise_that_a_sampler_would_draw_gives_its_movie(model):
  process, senses, keys = model.system.diffusion.process, model.system.data.senses, keys_of(SEEDS)
  parts = [prior(process, senses, 3, fold_keys(keys, i)) for i in range(2)]
  both = {name: jnp.concatenate([part[name] for part in parts], 1)[:, :4] for name in parts[0]}
  plain = chunks(model, "causal")
  close(chunks(model, "causal", initial_noise=both), plain)
  close(chunks(model, "causal", initial_noise={n: x[:, :2] for n, x in both.items()}), plain)
  other = chunks(model, "causal", initial_noise={n: -x for n, x in both.items()})
  assert np.abs(other["sight"] - plain["sight"]).max(axis=(0, 2, 3, 4)).min() > 1e-3
  whole = prior(process, senses, 4, keys)
  close(chunks(model, "all_frames", initial_noise=whole), chunks(model, "all_frames"))
  with pytest.raises(UserError, match="how='windows' does not support tuned noise"):
    chunks(model, "windows", initial_noise=whole)


@pytest.mark.parametrize("how", ["all_frames", "causal"])
def test_a_tuned_prior_moves_movies_and_the_flat_one_does_not(model, how):
  senses = model.system.data.senses
  flat = Coarse().flat(senses, model.frames)
  plain = model.sample(PROMPTS, SEEDS, how="all_frames", **SHORT)
  close(model.sample(PROMPTS, SEEDS, how="all_frames", prior=flat, **SHORT), plain)
  tuned = flat.replace(mean=jax.tree.map(lambda m: m + 2, flat.mean))
  moved = model.sample(PROMPTS, SEEDS, how=how, prior=tuned, **SHORT)
  assert np.abs(moved["sight"] - plain["sight"]).max() > 1e-3
  # A clip does not depend on its batch, and frames after those of the prior are made too.
  close(
    model.sample(PROMPTS[1:], SEEDS[1:], how=how, prior=tuned, **SHORT), {n: x[1:] for n, x in moved.items()}
  )
  first = {name: x[:, :1] for name, x in plain.items()}
  continued = model.sample(PROMPTS, SEEDS, how=how, prior=tuned, first=first, frames=6, **SHORT)
  assert continued["sight"].shape[1] == 6
  close({n: x[:, :1] for n, x in continued.items()}, first)
  with pytest.raises(UserError, match="at least 4 frames"):
    model.sample(PROMPTS, SEEDS, how=how, prior=tuned, frames=2, **SHORT)


def test_prior_files(model, tmp_path):
  flat = Coarse().flat(model.system.data.senses, model.frames)
  leaves, tree = jax.tree.flatten(flat)
  rng = np.random.default_rng(0)
  tuned = jax.tree.unflatten(tree, [jnp.float32(rng.normal(size=x.shape)) for x in leaves])
  path = tmp_path / "prior.safetensors"
  save_prior(path, tuned, {"prompt": "é"})
  back = load_prior(path)
  assert back.frames == 4 and back.name == str(path) and path.stat().st_size < 10_000
  for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(tuned), strict=True):
    np.testing.assert_array_equal(a, b)
  save_prior(
    tmp_path / "nan.safetensors", tuned.replace(mean={n: x * np.nan for n, x in tuned.mean.items()}), {}
  )
  save_prior(tmp_path / "half.safetensors", tuned.replace(log_std={"sight": tuned.log_std["sight"]}), {})
  (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:50])
  words = {"nan": "damaged", "half": "damaged", "cut": "is no prior file", "none": "no prior at"}
  for name, said in words.items():
    with pytest.raises(UserError, match=said) as raised:
      load_prior(tmp_path / f"{name}.safetensors")
    assert "\n" not in str(raised.value)
