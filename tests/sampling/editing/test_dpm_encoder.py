"""Bridges and transitions against brute force; codes against the clip that they encode."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm

from stale_jax.clip import Context
from stale_jax.processes import EDM, VP, GaussianFlow, Reflected, UniformFlow, grid
from stale_jax.processes.reflected import kernel
from stale_jax.sampling import Reverse, solve
from stale_jax.sampling.editing import decode, encode, translate

PROCESSES = [Reflected(), UniformFlow(), GaussianFlow(), VP(), EDM()]
N = 40_000


def full(value, shape=(N, 1)):
  return jnp.full(shape, value, jnp.float32)


@pytest.mark.parametrize("eta", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_a_bridge_keeps_the_law_of_the_noised_clip(process, eta):
  """x_s from `bridge` has the law of `corrupt` at s, also near a wall; and depends on x_t."""
  x0 = full(0.8, (N, 1, 1))
  x_t = process.corrupt(jax.random.key(0), x0, full(0.8)).x_t
  for s in (0.5, 0.02):
    x_s = np.asarray(process.bridge(jax.random.key(1), x0, x_t, full(0.8), full(s), eta)).ravel()
    want = np.asarray(process.corrupt(jax.random.key(2), x0, full(s)).x_t).ravel()
    assert kstest(x_s, want).statistic < 1.95 * (2 / N) ** 0.5
  known = np.asarray(x_t).ravel()
  x_s = np.asarray(process.bridge(jax.random.key(1), x0, x_t, full(0.8), full(0.7), eta)).ravel()
  assert np.corrcoef(known, x_s)[0, 1] > (0.8 if eta == 0.1 else 0.2)


def test_the_reflected_bridge_is_bayes_on_a_grid():
  """At eta = 1, q(x_s | x_t, x0) is K(x_t | x_s) K(x_s | x0), normalised."""
  process, x0, x_t, t, s = Reflected(), 0.7, 0.9, 0.85, 0.7
  at = [full(v, (N, 1, 1)) for v in (x0, x_t)]
  drawn = np.asarray(process.bridge(jax.random.key(0), *at, full(t), full(s), 1.0), np.float64).ravel()
  grid_ = (np.arange(20_000) + 0.5) / 20_000
  sigma_t, sigma_s = (float(process.sigma(jnp.float32(time))) for time in (t, s))
  u = jnp.asarray(grid_, jnp.float32)
  p = kernel(jnp.float32((x_t + 1) / 2), u, jnp.float32((sigma_t**2 - sigma_s**2) ** 0.5))
  p = np.asarray(p * kernel(u, jnp.float32((x0 + 1) / 2), jnp.float32(sigma_s)), np.float64)
  cdf = np.cumsum(p) / p.sum()
  assert kstest((drawn + 1) / 2, lambda x: np.interp(x, grid_, cdf)).statistic < 1.95 / N**0.5
  # A bridge that ignored the walls would have another law.
  mean = x0 + (sigma_s / sigma_t) ** 2 * (x_t - x0)
  std = 2 * sigma_s * (1 - (sigma_s / sigma_t) ** 2) ** 0.5
  straight = norm.ppf((np.arange(N) + 0.5) / N, mean, std)
  folded = np.abs(np.mod(straight + 3, 4) - 2) - 1
  assert kstest((folded + 1) / 2, lambda x: np.interp(x, grid_, cdf)).statistic > 1.5 * 1.95 / N**0.5


@pytest.mark.parametrize("process", PROCESSES[1:], ids=str)
def test_the_code_of_a_true_path_is_uncorrelated_and_has_about_the_variance_of_the_prior(process):
  x0, (t, s, eta) = full(0.3, (N, 1, 1)), (0.6, 0.4, 0.7)
  x_t = process.corrupt(jax.random.key(0), x0, full(t)).x_t
  x_s = process.bridge(jax.random.key(1), x0, x_t, full(t), full(s), eta)
  mean, scale = process.transition(x0, x_t, full(t), full(s), eta)
  z = np.asarray((x_s - mean) / scale).ravel()
  prior = 1 / 3 if process == UniformFlow() else 1.0
  assert z.var() == pytest.approx(prior, rel=0.1 if process == UniformFlow() else 0.05)
  assert abs(np.corrcoef(z, np.asarray(x_t).ravel())[0, 1]) < 0.04


def reverse_of(process, words, keys, steps=6, first=0, frames=3):
  def network(clip, t, context):
    """Wrong at all times, and different for each prompt."""
    shift = jnp.sum(context.text, -1)
    return {n: jnp.tanh(3 * x + shift.reshape(-1, *(1,) * (x.ndim - 1))) for n, x in clip.items()}

  times = grid(steps, 3.0)[first:]
  return Reverse(
    process=process,
    denoiser=network,
    times=jnp.broadcast_to(times[:, None, None], (len(times), len(keys), frames)),
    context=Context(text=jnp.asarray(words)),
    keys=keys,
  )


CLIP = {
  "sight": np.random.default_rng(0).uniform(-1, 1, (3, 3, 4, 4, 3)).astype(np.float32),
  "touch": np.random.default_rng(1).choice([-1.0, 0.2, 1.0], (3, 3, 4)).astype(np.float32),
}
KEYS = jax.vmap(jax.random.key)(jnp.arange(3))
WORDS = np.array([[1], [2], [0]])


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("eta", [0.1, 1.0])
@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_a_clip_is_returned_whatever_the_network_says(process, eta, first):
  reverse = reverse_of(process, WORDS, KEYS, first=first)
  codes = encode(reverse, CLIP, eta)
  back = decode(reverse, codes, eta)
  for name, x in CLIP.items():
    assert np.abs(back[name] - x).max() <= 1e-4, name
  # The code is used: no part of it can be left out.
  steps = len(reverse.times) - 1
  for part in ("start", *range(steps)):
    zeros = {"start": jax.tree.map(jnp.zeros_like, codes.start)}
    if part != "start":
      zeros = {"noise": jax.tree.map(lambda z, step=part: z.at[step].set(0.0), codes.noise)}
    other = decode(reverse, dataclasses.replace(codes, **zeros), eta)
    assert np.abs(other["sight"] - CLIP["sight"]).max() > 1e-3, part


@pytest.mark.parametrize("process", PROCESSES[:3], ids=str)
def test_senses_that_a_clip_lacks_are_made_along(process):
  """The rest is returned, and what is made is what the ODE makes of the same draw under the same prompt."""
  reverse = reverse_of(process, WORDS, KEYS)
  sight, drawn = {"sight": CLIP["sight"]}, {"touch": process.prior(jax.random.key(5), (3, 3, 4))}
  same = translate(reverse, reverse, sight, 0.5, drawn)
  np.testing.assert_allclose(same["sight"], CLIP["sight"], atol=1e-4)
  alone = solve(process, reverse.denoiser, drawn, reverse.times, reverse.context, KEYS, "euler")
  if process != Reflected():  # Its ODE is solved in another variable.
    np.testing.assert_allclose(same["touch"], np.clip(alone["touch"], -1, 1), atol=1e-4)
  other = dataclasses.replace(reverse, context=Context(text=jnp.asarray(WORDS + 1)))
  assert np.abs(translate(reverse, other, sight, 0.5, drawn)["touch"] - same["touch"]).max() > 0.01


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_frames_at_time_0_are_kept_and_examples_are_independent(process):
  reverse = reverse_of(process, WORDS, KEYS)
  reverse = dataclasses.replace(reverse, times=reverse.times.at[:, :, 0].set(0.0))
  target = dataclasses.replace(reverse, context=Context(text=jnp.asarray(WORDS + 1)))
  edited = translate(reverse, target, CLIP, 0.5)
  np.testing.assert_allclose(edited["sight"][:, 0], CLIP["sight"][:, 0], atol=1e-6)
  assert np.abs(edited["sight"][:, 1:] - CLIP["sight"][:, 1:]).max() > 0.1
  assert max(float(np.abs(x).max()) for x in edited.values()) <= 1

  def alone(whole):
    return dataclasses.replace(
      whole, times=whole.times[:, 1:2], keys=KEYS[1:2], context=Context(text=whole.context.text[1:2])
    )

  one = translate(alone(reverse), alone(target), {n: x[1:2] for n, x in CLIP.items()}, 0.5)
  np.testing.assert_allclose(one["sight"], edited["sight"][1:2], atol=1e-4)


def test_two_models_of_known_data_translate_by_the_difference_of_their_means():
  """Data N(c, .1^2), in closed form: CycleDiffusion moves each clip by c_b - c_a (optimal transport)."""
  std = 0.1

  def model(centre):
    def network(clip, t, context):
      tt = t[..., None]
      gain = (1 - tt) * std**2 / (jnp.square((1 - tt) * std) + jnp.square(tt))
      return {"a": centre + gain * (clip["a"] - (1 - tt) * centre)}

    return network

  keys = jax.vmap(jax.random.key)(jnp.arange(64))
  source = reverse_of(GaussianFlow(), np.zeros((64, 1), int), keys, steps=8, frames=1)
  source = dataclasses.replace(source, denoiser=model(-0.3))
  clip = {"a": np.random.default_rng(0).normal(-0.3, std, (64, 1, 5)).astype(np.float32)}
  for eta in (0.1, 1.0):
    edited = translate(source, dataclasses.replace(source, denoiser=model(0.4)), clip, eta)["a"]
    np.testing.assert_allclose(edited - clip["a"], 0.7, atol=1e-4)
