"""Solvers against the numbers of the library diffusers in `goldens/diffusers.json`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.processes import VP, GaussianFlow
from stale_jax.sampling import SOLVERS, solve
from stale_jax.sampling.solvers import Dpm2MSde
from tests.goldens import make_diffusers

NUMBERS = json.loads(make_diffusers.PATH.read_text())
CONTEXT = Context(text=jnp.zeros((1, 1), jnp.int32))


class ToldNoise(Dpm2MSde):
  """The stochastic solver with the noise of a golden instead of its own."""

  def __init__(self, told):
    object.__setattr__(self, "told", told)

  def noise(self, reverse, step, name, x):
    return self.told[step][None, None]


def ours(case, monkeypatch, solver=None):
  """The result of the solver of `case`, in float64. On the path "unit" the process is cosine VP."""
  flow = case["path"] == "flow"
  process, levels = GaussianFlow() if flow else VP(), np.array([*case["steps"], 0.0])
  times = levels if flow else np.arctan2(levels, 1 - levels) / (np.pi / 2)

  def denoiser(clip, t, context):
    alpha, sigma = process.coefficients(t)
    return {"a": 0.7 * jnp.sin(2 * clip["a"] + 3 * (sigma / (alpha + sigma))[..., None])}

  with jax.enable_x64(True):
    if case["solver"] == "dpmpp_2m_sde":
      monkeypatch.setitem(SOLVERS, "dpmpp_2m_sde", ToldNoise(jnp.asarray(case["noise"])))
    x = {"a": jnp.asarray(case["x"])[None, None]}
    grid = jnp.asarray(times)[:, None, None]
    keys = jax.random.key(0)[None]
    return np.asarray(solve(process, denoiser, x, grid, CONTEXT, keys, solver or case["solver"])["a"][0, 0])


@pytest.mark.parametrize(
  "case", NUMBERS["solvers"], ids=lambda c: f"{c['solver']}-{c['path']}-{len(c['steps'])}"
)
def test_solvers_are_those_of_diffusers(case, monkeypatch):
  np.testing.assert_allclose(ours(case, monkeypatch), case["result"], rtol=0, atol=1e-9)
