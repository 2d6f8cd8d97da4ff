"""The multistep solver: its order, its worth an evaluation, frames that wait, and what it costs others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.processes import EDM, VP, GaussianFlow, Reflected, UniformFlow, grid
from stale_jax.sampling import solve
from stale_jax.sampling.solvers import SOLVERS
from stale_jax.testing.densities import FoldedMixture, GaussianMixture

CONTEXT = Context(text=jnp.zeros((1, 1), jnp.int32))


def bent(clip, t, context):
  """A smooth network."""
  return {name: 0.7 * jnp.sin(2 * x + 3 * t[..., None]) for name, x in clip.items()}


def follow(process, denoiser, x, times, solver):
  """x [n], every value its own clip of one frame, along `times` [steps+1]."""
  run = jax.jit(lambda x: solve(process, denoiser, x, times[:, None, None], CONTEXT, None, solver))
  return np.asarray(run({"a": jnp.asarray(x)[None, None]})["a"]).ravel()


@pytest.mark.parametrize("process", [GaussianFlow(), VP(), EDM(), UniformFlow()], ids=str)
def test_it_is_of_second_order_at_one_evaluation_a_step(process):
  """Errors quarter when steps double (Euler's halve), on a mixture, for uniform noise on a smooth ODE."""
  denoiser = bent if process == UniformFlow() else GaussianMixture().denoiser(process)
  with jax.enable_x64(True):
    x = np.linspace(-0.9, 0.9, 33)
    want = follow(process, denoiser, x, jnp.linspace(0.9, 0.35, 2049), "heun")
    for solver, order in (("euler", 1), ("multistep", 2)):
      few, many = (
        np.abs(follow(process, denoiser, x, jnp.linspace(0.9, 0.35, n + 1), solver) - want).max()
        for n in (128, 256)
      )
      print("order", process, solver, np.log2(few / many))
      assert np.log2(few / many) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("process", [GaussianFlow(), EDM(), UniformFlow()], ids=str)
def test_it_beats_euler_and_heun_at_equal_evaluations(process):
  uniform = process == UniformFlow()
  quantiles = (np.arange(500) + 0.5) / 500
  with jax.enable_x64(True):
    x = 2 * quantiles - 1 if uniform else np.asarray(jax.scipy.special.ndtri(jnp.asarray(quantiles)))
    denoiser = (FoldedMixture() if uniform else GaussianMixture()).denoiser(process)
    want = follow(process, denoiser, x, grid(1500), "heun")
    error = {
      solver: np.sqrt(np.mean((follow(process, denoiser, x, grid(steps), solver) - want) ** 2))
      for solver, steps in (("multistep", 32), ("euler", 32), ("heun", 16))
    }
  print("error", process, error)
  assert error["multistep"] < 0.75 * min(error["euler"], error["heun"])


@pytest.mark.parametrize("process", [GaussianFlow(), UniformFlow()], ids=str)
def test_a_frame_that_waits_goes_on_as_if_it_had_not(process):
  """Frames in a staggered clip end as each would alone: the network is a frame's own here."""
  x = process.prior(jax.random.key(0), (1, 3, 8))
  steps = grid(6)
  # The first goes at once, the second waits at the start, the third in the middle.
  frames = [
    jnp.concatenate([steps, jnp.zeros(2)]),
    jnp.concatenate([jnp.ones(2), steps]),
    jnp.concatenate([steps[:4], steps[3:4], steps[3:4], steps[4:]]),
  ]
  times = jnp.stack(frames, -1)[:, None]
  seen = []
  out = solve(
    process, bent, {"a": x}, times, CONTEXT, None, "multistep", callback=lambda i, x: seen.append(x["a"])
  )["a"]
  jax.effects_barrier()
  for frame in range(3):
    alone = follow(process, bent, x[0, frame], steps, "multistep")
    np.testing.assert_allclose(out[0, frame], alone, atol=1e-5)
  np.testing.assert_array_equal(seen[1][:, 1], x[:, 1])
  np.testing.assert_array_equal(seen[4][:, 2], seen[2][:, 2])
  np.testing.assert_array_equal(seen[7][:, 0], seen[5][:, 0])
  # And memory is of use: without it every step were Euler's.
  assert np.abs(out - solve(process, bent, {"a": x}, times, CONTEXT, None, "euler")["a"]).max() > 1e-3


def test_the_reflected_process_refuses():
  x = {"a": jnp.zeros((1, 1, 2))}
  with pytest.raises(UserError, match="use solver='heun' or 'ancestral'"):
    solve(Reflected(), bent, x, grid(2)[:, None, None], CONTEXT, None, "multistep")


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_multistep_carries_a_memory(solver):
  x = {"a": jnp.zeros((1, 3, 7)), "b": jnp.zeros((1, 3, 7))}
  times, keys = jnp.broadcast_to(grid(4)[:, None, None], (5, 1, 3)), jax.random.key(0)[None]
  program = jax.make_jaxpr(lambda x: solve(GaussianFlow(), bent, x, times, CONTEXT, keys, solver))(x)
  (loop,) = (e for e in program.eqns if e.primitive.name in ("scan", "while"))
  clips = sum(v.aval.shape == (1, 3, 7) for v in loop.outvars)
  assert clips == (4 if solver == "multistep" else 2)
