"""Teleport: against a brute-force solution of the ODE, and as the start of whole samplers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context, Sense
from stale_jax.errors import UserError
from stale_jax.processes import VP, GaussianFlow, Moments, Reflected, UniformFlow, measured_moments
from stale_jax.processes.moments import reflected_teleport
from stale_jax.sampling import Teleport, sample
from stale_jax.sampling.teleport import flat
from stale_jax.teleport import Measurement, load_teleport, measure, save_moments
from stale_jax.testing.models import drawn
from tests import micro

SENSES = (
  Sense(name="touch", shape=(4,), rate=8.0, patch=(1,), channels=("a", "b", "c", "d")),
  Sense(name="smell", shape=(2,), rate=8.0, patch=(1,), channels=("a", "b")),
)
FRAMES, VALUES, RANK = 3, 18, 4


def gaussian_moments(rng) -> Moments:
  basis = np.linalg.qr(rng.normal(size=(VALUES, RANK)))[0]
  mean, variances = rng.normal(size=VALUES) / 4, np.array([2.0, 0.5, 0.1, 0.02])
  return Moments(*(jnp.asarray(x, jnp.float32) for x in (mean, mean**2, basis, variances)))


class Exact(GaussianFlow):
  """Without the clipping of x0, which Gaussian data do not need."""

  def denoised(self, output, x_t, t):
    return output


def test_a_sampler_of_gaussian_data_makes_the_same_clips_from_the_teleported_state():
  moments, keys = gaussian_moments(np.random.default_rng(0)), jax.vmap(jax.random.key)(jnp.arange(5))

  def denoiser(clip, t, context):
    alpha, sigma = (c[:, :1] for c in Exact().coefficients(t))
    known = alpha * moments.variances / (sigma**2 + alpha**2 * moments.variances)
    whole = moments.mean + (known * ((flat(clip) - alpha * moments.mean) @ moments.basis)) @ moments.basis.T
    smell, touch = jnp.split(whole, [6], 1)  # In alphabetical order.
    return {"touch": touch.reshape(5, FRAMES, 4), "smell": smell.reshape(5, FRAMES, 2)}

  times = jnp.broadcast_to(jnp.linspace(1, 0, 401)[:, None, None], (401, 5, FRAMES))
  parts = Context(text=jnp.zeros((5, 4), jnp.int32)), keys, "heun"
  whole = sample(Exact(), denoiser, SENSES, times, *parts)
  start = Teleport(moments=moments, share=0.3)
  assert start.skipped(400) == 120
  short = sample(Exact(), denoiser, SENSES, times[120:], *parts, start=start)
  stay = sample(Exact(), denoiser, SENSES, times[120:], *parts)
  for name in whole:
    np.testing.assert_allclose(short[name], whole[name], atol=2e-3)
    assert np.abs(stay[name] - whole[name]).max() > 0.1


@pytest.mark.parametrize("process", [GaussianFlow(), VP(), Reflected()], ids=lambda p: type(p).__name__)
def test_no_time_is_no_movement(process):
  rng = np.random.default_rng(1)
  x, t = jnp.asarray(rng.uniform(-0.9, 0.9, (6, VALUES)), jnp.float32), jnp.full(6, 0.95)
  np.testing.assert_allclose(process.teleport(gaussian_moments(rng), x, t, t), x, atol=1e-5)


def test_reflected_noise_is_left_in_third_order():
  """Two data points in the plane: the density is a sum of two products of cosine series."""
  data = np.array([[0.1, 0.8], [0.6, 0.3]])
  cosines, n = np.cos(np.pi * data), np.arange(1, 20)

  def slope(u, rho):
    angle, factor = np.pi * u[:, None] * n, rho ** (n**2) * np.cos(np.pi * data[..., None] * n)
    density = 1 + 2 * (factor * np.cos(angle)).sum(-1)
    weight = density.prod(1) / density.prod(1).sum()
    score = -2 * np.pi * (factor * n * np.sin(angle)).sum(-1) / density
    return weight @ score / (np.pi**2 * rho)

  with jax.enable_x64(True):
    variances, basis = np.linalg.eigh(np.cov(cosines.T, bias=True))
    square = (cosines**2).mean(0)
    moments = Moments(*map(jnp.asarray, (cosines.mean(0), square, basis, np.maximum(variances, 0))))
    errors = []
    for rho in (0.02, 0.01):
      u, steps = np.array([0.35, 0.55]), np.linspace(1e-9, rho, 201)
      for before, after in zip(steps[:-1], steps[1:], strict=True):
        first = slope(u, before)
        u = u + (after - before) * (first + slope(u + (after - before) * first, after)) / 2
      sigmas = [jnp.sqrt(-2 * jnp.log(jnp.array([r]))) / jnp.pi for r in (1e-9, rho)]
      errors.append(np.abs(reflected_teleport(moments, jnp.array([[0.35, 0.55]]), *sigmas) - u).max())
  assert errors[0] < 1e-4 and 6 < errors[0] / errors[1] < 10, errors


def test_moments_in_blocks_are_those_of_all_rows():
  rng = np.random.default_rng(2)
  rows = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 40)) + rng.normal(size=40)
  rows += 0.01 * rng.normal(size=rows.shape)
  moments = measured_moments(np.array_split(rows, 7), 5)
  covariance = np.cov(rows.T, bias=True)
  values, vectors = np.linalg.eigh(covariance)
  np.testing.assert_allclose(moments.mean, rows.mean(0), atol=1e-5)
  np.testing.assert_allclose(moments.square, (rows**2).mean(0), rtol=1e-4)
  np.testing.assert_allclose(moments.variances, values[::-1][:5], rtol=1e-3)
  np.testing.assert_allclose(moments.basis.T @ moments.basis, np.eye(5), atol=1e-4)
  best = vectors[:, -5:] * values[-5:] @ vectors[:, -5:].T
  np.testing.assert_allclose(
    moments.basis * moments.variances @ moments.basis.T, best, atol=1e-2 * values[-1]
  )
  assert len(measured_moments([rows[:3]], 128).variances) <= 3


def untrained(process: str):
  return drawn({**micro.config(), "process": {"name": process}})


@pytest.fixture(scope="module")
def model():
  return untrained("gaussian_flow")


@pytest.mark.system
def test_a_file_serves_the_model_that_it_was_measured_for(model, tmp_path):
  how = Measurement(clips=40, rank=6)
  path = tmp_path / "teleport.safetensors"
  save_moments(path, measure(model, how), model, how)
  start = load_teleport(path, model, 0.5)
  assert start.moments.basis.shape[1] == 6 and start.skipped(6) == 3 and start.skipped(1) == 0
  prompts, seeds = ["a red seven moves left quickly"] * 3, [0, 1, 2]
  some = model.sample(prompts, seeds, steps=6, start=start)
  one = model.sample(prompts[:1], [1], steps=6, start=start)
  whole = model.sample(prompts, seeds, steps=6)
  for name in some:
    np.testing.assert_allclose(one[name][0], some[name][1], atol=1e-4)
    assert np.abs(some[name] - whole[name]).max() > 1e-3 and np.isfinite(some[name]).all()
  with pytest.raises(UserError, match="only for clips of the training length"):
    model.sample(prompts, seeds, frames=2 * model.frames, start=start)
  with pytest.raises(UserError, match="only for clips of the training length"):
    model.generate("", budget_cents=1.0, start=start)
  with pytest.raises(UserError, match="must be at least 0 and less than 1"):
    load_teleport(path, model, 1.0)
  with pytest.raises(UserError, match="was measured for noise added"):
    load_teleport(path, untrained("reflected"), 0.5)
  path.write_bytes(b"nothing")
  with pytest.raises(UserError, match="is not a file of experiments.teleport"):
    load_teleport(path, model, 0.5)


def test_uniform_noise_is_refused():
  assert not UniformFlow.has_teleport
  with pytest.raises(UserError, match="UniformFlow, which has no closed form"):
    measure(untrained("uniform_flow"))
