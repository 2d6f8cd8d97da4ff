"""Solvers, time grids and guidance against numbers of the library diffusers (`goldens/diffusers.json`)."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context, Sense
from stale_jax.processes import VP, GaussianFlow
from stale_jax.sampling import Sampling, solve
from stale_jax.sampling.guiding import guided, guiding_of
from stale_jax.sampling.solvers import Reverse
from tests.goldens import make_diffusers
from tests.models import small

NUMBERS = json.loads(make_diffusers.PATH.read_text())
CONTEXT = Context(text=jnp.zeros((1, 1), jnp.int32))


def ours(case, monkeypatch):
  """The result of the solver of `case`, in float64. On the path "unit" the process is cosine VP."""
  flow = case["path"] == "flow"
  process, levels = GaussianFlow() if flow else VP(), np.array([*case["steps"], 0.0])
  times = levels if flow else np.arctan2(levels, 1 - levels) / (np.pi / 2)

  def denoiser(clip, t, context):
    alpha, sigma = process.coefficients(t)
    return {"a": 0.7 * jnp.sin(2 * clip["a"] + 3 * (sigma / (alpha + sigma))[..., None])}

  with jax.enable_x64(True):
    if case["solver"] == "dpmpp_2m_sde":
      told = jnp.asarray(case["noise"])  # The noise of the golden instead of our own.
      monkeypatch.setattr(Reverse, "noise", lambda self, name, step, x: told[step][None, None])
    x = {"a": jnp.asarray(case["x"])[None, None]}
    grid = jnp.asarray(times)[:, None, None]
    keys = jax.random.key(0)[None]
    return np.asarray(solve(process, denoiser, x, grid, CONTEXT, keys, case["solver"])["a"][0, 0])


@pytest.mark.parametrize(
  "case", NUMBERS["solvers"], ids=lambda c: f"{c['solver']}-{c['path']}-{len(c['steps'])}"
)
def test_solvers_are_those_of_diffusers(case, monkeypatch):
  np.testing.assert_allclose(ours(case, monkeypatch), case["result"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", NUMBERS["grids"], ids=lambda c: f"{c['grid']}-{c['steps']}-{c['shift']}")
def test_grids_are_those_of_diffusers(case):
  with jax.enable_x64(True):
    settings = Sampling(steps=case["steps"], shift=case["shift"], grid=case["grid"], batch=2)
    times = np.asarray(settings.times(3))
  assert times.shape == (case["steps"] + 1, 2, 3)
  np.testing.assert_allclose(times[:, 1, 2], case["times"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", NUMBERS["shifts"], ids=lambda c: str(c["tokens"]))
def test_the_shift_of_flux_is_that_of_diffusers(case):
  # One token per frame.
  sense = Sense(name="touch", shape=(4,), rate=8.0, patch=(1,), channels=tuple("abcd"))
  with jax.enable_x64(True):
    times = Sampling(steps=case["steps"], shift_kind="flux", batch=1).times(case["tokens"], (sense,))
  np.testing.assert_allclose(times[:, 0, 0], case["times"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", NUMBERS["guidance"], ids=lambda c: f"{c['kind']}-{c['scale']}")
def test_guidance_is_that_of_diffusers(case):
  """diffusers guides velocities for CFG-Zero*; here x0 = x - t v, and the guided velocity is (x - x0) / t."""
  with jax.enable_x64(True):
    c, u, skipped, result = (jnp.asarray(case[name]) for name in ("c", "u", "skipped", "result"))
    t, x = jnp.full(c.shape[:2], 0.8), jnp.sin(jnp.arange(c.size)).reshape(c.shape)
    is_velocity = case["kind"] == "cfg_zero"
    if is_velocity:
      c, u = x - 0.8 * c, x - 0.8 * u

    def network(clip, t, context):
      if context.independent_senses is None:
        return {"a": skipped}
      return {"a": jnp.concatenate([c, u])}

    plain = Sampling(guidance=case["scale"])
    chosen = {
      "rescaled": lambda: dataclasses.replace(plain, guidance_kind="rescaled", rescale=case["share"]),
      "apg": lambda: dataclasses.replace(
        plain, guidance_kind="apg", parallel=case["parallel"], norm_limit=case["limit"]
      ),
      "cfg_zero": lambda: dataclasses.replace(plain, guidance_kind="cfg_zero"),
      "skip_layers": lambda: dataclasses.replace(
        plain, skip_layers=(1,), skip_scale=case["push"], skip_interval=(0.0, 1.0)
      ),
    }[case["kind"]]()
    transformer = small.model(depth=2)
    guiding = guiding_of(chosen, GaussianFlow(), transformer)
    denoiser = guided(guiding, transformer, lambda _: network, chosen.guidance, chosen.interval)
    out = denoiser({"a": x}, t, Context(text=jnp.zeros((len(x), 4), jnp.int32)))["a"]
    out = (x - out) / 0.8 if is_velocity else out
  # diffusers computes the scale of CFG-Zero* in float32.
  np.testing.assert_allclose(out, result, rtol=0, atol=2e-6 if is_velocity else 1e-12)


def test_the_goldens_are_the_numbers_of_diffusers():
  """Run it in an environment with torch and diffusers, to see that the file holds what diffusers computes."""
  pytest.importorskip("torch")
  pytest.importorskip("diffusers")
  assert_close(make_diffusers.numbers(), NUMBERS)


def assert_close(a, b):
  """Equal structure, and equal numbers but for rounding; the versions may differ."""
  assert type(a) is type(b)
  if isinstance(a, dict):
    assert a.keys() == b.keys()
    for key in set(a) - {"diffusers", "torch"}:
      assert_close(a[key], b[key])
  elif isinstance(a, list):
    assert len(a) == len(b)
    for pair in zip(a, b, strict=True):
      assert_close(*pair)
  else:
    assert a == b if isinstance(a, str) else a == pytest.approx(b, abs=1e-9)
