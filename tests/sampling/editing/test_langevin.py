"""Langevin dynamics on the noise against Gaussian posteriors that are known exactly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.processes import GaussianFlow, Reflected, UniformFlow
from stale_jax.sampling import Reverse
from stale_jax.sampling.editing import Codes, decode, langevin_step

N, STEPS, SPREAD = 4000, 8, 0.3
CONTEXT = Context(text=jnp.zeros((N, 1), jnp.int32))


def reverse_of(process) -> Reverse:
  """The sampler of N independent values, with the exact denoiser of data N(0, SPREAD^2) of `GaussianFlow`."""

  def denoiser(clip, t, context):
    def one(x):
      at = jnp.reshape(t, (*t.shape, *(1,) * (x.ndim - 2)))
      gain = (1 - at) * SPREAD**2 / ((1 - at) ** 2 * SPREAD**2 + at**2)
      return process.output_for(gain * x, x, t)

    return {name: one(x) for name, x in clip.items()}

  times = jnp.broadcast_to(jnp.linspace(1, 0, STEPS + 1)[:, None, None], (STEPS + 1, N, 1))
  keys = jax.random.split(jax.random.key(0), N)
  return Reverse(process=process, denoiser=denoiser, times=times, context=CONTEXT, keys=keys)


def normal(seed: int = 1):
  return {"sight": jax.random.normal(jax.random.key(seed), (N, 1, 1))}


def energy(clip):
  return jnp.square(clip["sight"][:, 0, 0] - 0.4) / 2


def dynamics(reverse, w, weight, size, iterations):
  """Returns (the clips of the last w, the last w, the energies before each step)."""

  def body(w, iteration):
    w, _, energies = langevin_step(reverse, w, energy, weight, size, iteration)
    return w, energies

  w, energies = jax.lax.scan(body, w, jnp.arange(iterations))
  same, clip, _ = langevin_step(reverse, w, energy, weight, 0.0, iterations)
  np.testing.assert_array_equal(same["sight"], w["sight"])
  return clip, w, energies


def test_the_law_of_w_is_the_posterior():
  """G is linear here, so that the law of w is Gaussian, with a mean and a variance that are known."""
  reverse, weight = reverse_of(GaussianFlow()), 40.0
  gain = float(decode(reverse, Codes(start={"sight": jnp.ones((N, 1, 1))}, noise={}), 0.0)["sight"][0, 0, 0])
  _, w, energies = dynamics(reverse, normal(), weight, 0.25, 250)
  w, precision = np.asarray(w["sight"]).ravel(), 1 + weight * gain**2
  # The step has an error of order h^2 in the variance; a chain without noise would have none at all.
  assert w.mean() == pytest.approx(weight * gain * 0.4 / precision, abs=0.05)
  assert w.var() == pytest.approx(1 / precision, rel=0.1)
  assert energies.shape == (250, N) and energies[-1].mean() < 0.6 * energies[0].mean()


@pytest.mark.parametrize("process", [GaussianFlow(), UniformFlow(), Reflected()], ids=str)
def test_without_an_energy_the_prior_is_kept(process):
  """For a large step, too: a step with the factor 1 - h^2 / 2 would have the variance 1.13."""
  reverse = reverse_of(process)
  clip, w, _ = dynamics(reverse, normal(), 0.0, 0.7, 12)
  x, begun = np.asarray(w["sight"]).ravel(), np.asarray(normal()["sight"]).ravel()
  assert x.mean() == pytest.approx(0, abs=4 / N**0.5) and x.var() == pytest.approx(1, abs=5 * (2 / N) ** 0.5)
  assert abs(np.corrcoef(x, begun)[0, 1]) < 0.1
  assert np.abs(clip["sight"]).max() <= 1


def test_the_clips_are_those_of_the_last_w_and_a_row_does_not_depend_on_others():
  reverse = reverse_of(UniformFlow())
  clip, w, _ = dynamics(reverse, normal(), 20.0, 0.3, 5)
  start = {"sight": UniformFlow().from_normal(w["sight"])}
  again = decode(reverse, Codes(start=start, noise={}), 0.0)
  np.testing.assert_allclose(clip["sight"], again["sight"], atol=1e-5)
  rows = np.array([7, 3])
  few = dataclasses.replace(
    reverse, times=reverse.times[:, rows], keys=reverse.keys[rows], context=Context(text=CONTEXT.text[rows])
  )
  some, _, _ = dynamics(few, {"sight": normal()["sight"][rows]}, 20.0, 0.3, 5)
  np.testing.assert_allclose(some["sight"], clip["sight"][rows], atol=1e-5)
