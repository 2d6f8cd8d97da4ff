"""Gaussian processes: definitions of the schedules, brute force, known data, and training."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm

from stale_jax.clip import Context
from stale_jax.processes import EDM, VP, GaussianFlow, UniformFlow, grid
from stale_jax.run import train
from stale_jax.sampling import solve
from stale_jax.testing.densities import GaussianMixture
from tests import micro

FAMILY = [GaussianFlow(), VP(), VP(schedule="linear"), EDM()]


def test_schedules_are_their_papers():
  t = np.linspace(0, 1, 11)

  def check(process, alpha, sigma):
    for got, want in zip(process.coefficients(jnp.asarray(t)), (alpha, sigma), strict=True):
      np.testing.assert_allclose(got, want, atol=1e-6)

  check(GaussianFlow(), 1 - t, t)
  check(VP(), np.cos(np.pi / 2 * t), np.sin(np.pi / 2 * t))
  alpha = np.exp(-0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1)
  check(VP(schedule="linear"), alpha, np.sqrt(1 - alpha**2))
  # Karras et al., eq. 5: step i of N is time 1 - i / (N - 1).
  level = (80 ** (1 / 7) + (1 - t) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
  level[0] = 0
  check(EDM(), 1 / np.sqrt(1 + level**2), level / np.sqrt(1 + level**2))


def test_the_grid_of_edm_steps_to_0_from_above_sigma_min():
  """A grid of N steps here and in eq. 5: the same first level, a different spacing and last level."""
  steps = 20
  levels = np.asarray(EDM().level(grid(steps)), np.float64)
  low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
  paper = np.append((high + np.arange(steps) / (steps - 1) * (low - high)) ** 7, 0)
  longer = np.append((high + np.arange(steps + 1) / steps * (low - high)) ** 7, 0)
  np.testing.assert_allclose(levels[[0, -1]], paper[[0, -1]], rtol=1e-5)
  np.testing.assert_allclose(levels[:-1], longer[:steps], rtol=1e-4)
  assert paper[-2] == pytest.approx(0.002)
  assert levels[-2] == pytest.approx(0.0063, abs=5e-5)
  assert float(EDM().level(grid(steps, 6.0))[-2]) == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize("process", FAMILY, ids=str)
def test_from_the_clip_itself_to_the_prior(process):
  x0 = jax.random.uniform(jax.random.key(0), (20_000, 2, 3), minval=-1, maxval=1)
  t = jnp.broadcast_to(jnp.array([0.0, 1.0]), (20_000, 2))
  x = np.asarray(process.corrupt(jax.random.key(1), x0, t).x_t)
  np.testing.assert_array_equal(x[:, 0], x0[:, 0])
  assert abs(np.corrcoef(x[:, 1].ravel(), x0[:, 1].ravel())[0, 1]) < 0.025
  assert kstest(x[:, 1].ravel(), norm.cdf).statistic < 0.01


@pytest.mark.parametrize("process", [*FAMILY, UniformFlow()], ids=str)
def test_velocity_is_the_slope_of_the_path(process):
  """With x0 and e known, x_t moves along alpha x0 + sigma e, differentiated numerically in float64."""
  with jax.enable_x64(True):
    x0, e = np.random.default_rng(0).uniform(-1, 1, (2, 5, 1, 3))
    for time in (0.02, 0.3, 0.9):

      def at(t):
        alpha, sigma = process.coefficients(jnp.float64(t))
        return float(process.clock(jnp.float64(t))), np.asarray(alpha * x0 + sigma * e)

      (c0, below), (c1, above), (_, x_t) = at(time - 1e-5), at(time + 1e-5), at(time)
      got = process.velocity(jnp.asarray(x0), jnp.asarray(x_t), jnp.full((5, 1), time))
      np.testing.assert_allclose(got, (above - below) / (c1 - c0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(process.velocity(x0, x0, jnp.zeros((5, 1))), 0)


@pytest.mark.parametrize("process", FAMILY, ids=str)
def test_the_step_is_the_posterior_of_the_chain(process):
  """Bayes on a grid: q(x_s | x_t, x0) is q(x_s | x0) q(x_t | x_s), normalised."""
  t, s, x0, x_t = 0.7, 0.45, 0.3, -0.6
  with jax.enable_x64(True):
    (alpha_t, sigma_t), (alpha_s, sigma_s) = (
      map(float, process.coefficients(jnp.float64(u))) for u in (t, s)
    )
    at = [jnp.full((1, 1, 1), v) for v in (x0, x_t)]
    times = [jnp.full((1, 1), v) for v in (t, s)]
    mean, off = (process.step(jnp.full((1, 1, 1), n), *at, *times).item() for n in (0.0, 1.0))
    exact, scale = (part.item() for part in process.transition(*at, *times, 1.0))
  x = np.linspace(-6, 6, 200_001)
  a = alpha_t / alpha_s
  log = norm.logpdf(x, alpha_s * x0, sigma_s) + norm.logpdf(
    x_t, a * x, np.sqrt(sigma_t**2 - a**2 * sigma_s**2)
  )
  p = np.exp(log - log.max())
  p /= p.sum()
  assert mean == pytest.approx((p * x).sum(), abs=1e-6)
  assert off - mean == pytest.approx(np.sqrt((p * (x - (p * x).sum()) ** 2).sum()), abs=1e-6)
  assert (exact, scale) == pytest.approx((mean, off - mean), abs=1e-9)


def test_the_loss_weights():
  def weight(process, t):
    like = jnp.zeros((1, len(t), 1))
    corruption = process.corrupt(jax.random.key(0), like, jnp.asarray(t)[None])
    return np.asarray(process.loss(like + 1, corruption, jnp.asarray(t)[None])).ravel()

  t = np.linspace(0, 1, 9, dtype=np.float32)
  np.testing.assert_allclose(weight(GaussianFlow(), t), 1 / np.maximum(t, 0.1) ** 2, rtol=1e-5)
  level = np.asarray(EDM().level(t))
  theirs = (level**2 + 0.25) / np.maximum(level * 0.5, 1e-9) ** 2
  np.testing.assert_allclose(weight(EDM(), t)[level > 0.1], theirs[level > 0.1], rtol=1e-5)
  for process in FAMILY:
    assert weight(process, t).max() <= 105 and weight(process, t).min() >= 1


def algorithm_1(denoised, x, level, scale, slopes):
  """Algorithm 1 of EDM (Karras et al.) for x [n]; `slopes`: d(level), d(scale) and the time at each level."""
  d_level, d_scale, time = slopes

  def slope(x, i):
    inner = d_level[i] / level[i] + d_scale[i] / scale[i]
    return inner * x - d_level[i] * scale[i] / level[i] * denoised(x / scale[i], level[i])

  for i in range(len(level) - 1):
    first = slope(x, i)
    there = x + (time[i + 1] - time[i]) * first
    mean = (first + slope(there, i + 1)) / 2 if level[i + 1] > 0 else first
    x = x + (time[i + 1] - time[i]) * mean
  return x


def test_heun_is_algorithm_1_with_the_scale_of_the_process():
  """With scale alpha and the clock as time it is our `heun`; with the paper's scale of 1 the steps differ."""
  with jax.enable_x64(True):
    process, times = EDM(), np.asarray(grid(32))
    context = Context(text=jnp.zeros((1, 1), jnp.int32))
    network = GaussianMixture().denoiser(process)
    x = np.linspace(-2, 2, 41)
    steps, keys = jnp.asarray(times)[:, None, None], jax.random.key(0)[None]
    run = jax.jit(lambda x: solve(process, network, x, steps, context, keys, "heun"))
    ours = np.asarray(run({"a": jnp.asarray(x)[None, None]})["a"]).ravel()
    level = np.asarray(process.level(times))
    angle = np.arctan(level)
    at = {float(value): time for value, time in zip(level, times, strict=True)}

    def denoised(clean_plus_noise, value):
      x_t = jnp.asarray(clean_plus_noise / np.hypot(1, value))[None, None]
      return np.asarray(network({"a": x_t}, jnp.full((1, 1), at[float(value)]), context)["a"]).ravel()

    alpha = np.cos(angle)
    same = algorithm_1(denoised, x, level, alpha, (1 / alpha**2, -np.sin(angle), angle))
    ones = np.ones(len(level))
    paper = algorithm_1(denoised, x / alpha[0], level, ones, (ones, 0 * ones, level))
  np.testing.assert_allclose(ours, same, atol=1e-9)
  print("largest difference", np.abs(ours - paper).max(), "median", np.median(np.abs(ours - paper)))
  assert np.median(np.abs(ours - paper)) > 1e-4


# Shift of the time grid. The noise of the linear schedule decreases slowly near the data.
SHIFT = {VP(schedule="linear"): 0.3}


@pytest.mark.parametrize(("solver", "steps"), [("ancestral", 128), ("euler", 128), ("multistep", 64)])
@pytest.mark.parametrize("process", FAMILY, ids=str)
def test_known_data_are_recovered(process, solver, steps):
  mixture = GaussianMixture()
  x = {"a": process.prior(jax.random.key(0), (1, 1, 40_000))}
  times, context = (
    grid(steps, SHIFT.get(process, 1.0))[:, None, None],
    Context(text=jnp.zeros((1, 1), jnp.int32)),
  )
  keys, denoiser = jax.random.key(1)[None], mixture.denoiser(process)
  out = jax.jit(lambda x: solve(process, denoiser, x, times, context, keys, solver))(x)["a"]
  # The KS distance of 40,000 exact draws is .0043 on average.
  ks = mixture.ks(np.asarray(out, np.float64))
  print("KS", process, solver, ks)
  assert ks <= 0.02


@pytest.mark.parametrize("name", ["gaussian_flow", "vp", "edm"])
@pytest.mark.system
def test_each_trains_in_the_common_loop(name, tmp_path):
  config = micro.config(training__steps=40, training__checkpoint_every=40, process__name=name)
  config["senses"] = ("touch",)
  config["objective"] = {}
  train(config, tmp_path)
  losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  print(name, losses)
  assert np.mean(losses[-3:]) < 0.7 * losses[0]
