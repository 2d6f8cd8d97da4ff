"""The multistep solver: order of convergence, error per evaluation, frames that wait, size of the state."""

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
KEYS = jax.random.key(0)[None]


def smooth(clip, t, context):
  """A smooth network whose x0 at t = 0 is not x_t."""
  return {name: 0.7 * jnp.sin(2 * x + 3 * t[..., None]) for name, x in clip.items()}


def follow(process, denoiser, x, times, solver):
  """Solves for independent values x [n] along `times` [steps + 1]."""
  run = jax.jit(lambda x: solve(process, denoiser, x, times[:, None, None], CONTEXT, KEYS, solver))
  return np.asarray(run({"a": jnp.asarray(x)[None, None]})["a"]).ravel()


def orders(process, denoiser, solver, grids, x, want):
  """log2 of the ratio of the errors on two grids: (root mean square, median, largest)."""
  few, many = (np.abs(follow(process, denoiser, x, times, solver) - want) for times in grids)
  norms = (lambda e: np.sqrt(np.mean(e**2)), np.median, np.max)
  found = [np.log2(norm(few) / norm(many)) for norm in norms]
  print("order", process, solver, len(grids[0]) - 1, np.round(found, 2))
  return found


def prior_quantiles(process, count):
  quantiles = (np.arange(count) + 0.5) / count
  if process == UniformFlow():
    return 2 * quantiles - 1
  return np.asarray(jax.scipy.special.ndtri(jnp.asarray(quantiles)))


@pytest.mark.parametrize("process", [GaussianFlow(), VP(), EDM(), UniformFlow()], ids=str)
def test_second_order_between_the_ends_at_one_evaluation_per_step(process):
  """Errors quarter when steps double (Euler's halve), on a mixture, for uniform noise on a smooth ODE."""
  denoiser = smooth if process == UniformFlow() else GaussianMixture().denoiser(process)
  with jax.enable_x64(True):
    x = np.linspace(-0.9, 0.9, 33)
    want = follow(process, denoiser, x, jnp.linspace(0.9, 0.35, 2049), "heun")
    grids = [jnp.linspace(0.9, 0.35, steps + 1) for steps in (128, 256)]
    for solver, order in (("euler", 1), ("multistep", 2), ("dpmpp_2m", 2)):
      assert orders(process, denoiser, solver, grids, x, want)[2] == pytest.approx(order, abs=0.25)
    # The corrector has one more order, of which the first step of order 1 leaves 2, with a smaller error.
    assert orders(process, denoiser, "unipc", grids, x, want)[2] > 1.75


INSIDE = FoldedMixture(means=(0.25, 0.5, 0.7), sds=(0.05, 0.05, 0.05))  # Zero at the walls.


@pytest.mark.parametrize("factor", [1.0, 6.0])
@pytest.mark.parametrize("process", [GaussianFlow(), VP(), EDM(), UniformFlow()], ids=str)
def test_second_order_on_the_whole_grid(process, factor):
  """From the prior at t = 1 to the data at t = 0, with and without the default shift of the grid."""
  denoiser = (INSIDE if process == UniformFlow() else GaussianMixture()).denoiser(process)
  # The levels of EDM jump from sigma_min to 0, which leaves every solver an error of about 1e-6.
  steps, tolerance = (256, 0.25) if (process, factor) == (EDM(), 1.0) else (1024, 0.1)
  with jax.enable_x64(True):
    x = prior_quantiles(process, 101)
    want = follow(process, denoiser, x, grid(16384, factor), "heun")
    grids = [grid(n, factor) for n in (steps, 2 * steps)]
    mean, median, _ = orders(process, denoiser, "multistep", grids, x, want)
    assert mean == pytest.approx(2, abs=tolerance) and median == pytest.approx(2, abs=0.25)
    assert orders(process, denoiser, "euler", grids, x, want)[0] == pytest.approx(1, abs=0.2)


def test_order_is_lost_only_where_the_solution_is_not_smooth():
  """A mode at the wall: trajectories leave it like sqrt(t). Most values keep order 2, the worst do not."""
  process, denoiser = UniformFlow(), FoldedMixture().denoiser(UniformFlow())
  with jax.enable_x64(True):
    x = prior_quantiles(process, 101)
    want = follow(process, denoiser, x, grid(16384, 6.0), "heun")
    for solver in ("heun", "multistep"):
      grids = [grid(n, 6.0) for n in (256, 1024)]
      mean, median, largest = (order / 2 for order in orders(process, denoiser, solver, grids, x, want))
      assert median == pytest.approx(2, abs=0.25)
      assert mean == pytest.approx(1.7, abs=0.25)
      assert largest == pytest.approx(1, abs=0.25)


def test_a_network_that_is_not_the_identity_at_time_0_leaves_no_solver_its_order():
  """dx/dt = (x - x0) / t is singular at t = 0 unless x0 = x_t there."""
  process = GaussianFlow()
  with jax.enable_x64(True):
    x = prior_quantiles(process, 101)
    want = follow(process, smooth, x, grid(16384), "heun")
    for solver in ("euler", "heun", "multistep"):
      grids = [grid(n) for n in (256, 512)]
      assert 0 < orders(process, smooth, solver, grids, x, want)[0] < 0.6


@pytest.mark.parametrize("process", [GaussianFlow(), EDM(), UniformFlow()], ids=str)
def test_it_beats_euler_and_heun_at_equal_evaluations(process):
  denoiser = (FoldedMixture() if process == UniformFlow() else GaussianMixture()).denoiser(process)
  with jax.enable_x64(True):
    x = prior_quantiles(process, 500)
    want = follow(process, denoiser, x, grid(1500), "heun")
    error = {
      solver: np.sqrt(np.mean((follow(process, denoiser, x, grid(steps), solver) - want) ** 2))
      for solver, steps in (("multistep", 32), ("euler", 32), ("heun", 16))
    }
  print("error", process, error)
  assert error["multistep"] < 0.75 * min(error["euler"], error["heun"])


@pytest.mark.parametrize("solver", ["multistep", "dpmpp_2m", "unipc"])
@pytest.mark.parametrize("process", [GaussianFlow(), UniformFlow()], ids=str)
def test_a_frame_that_waits_continues_as_if_it_had_not(process, solver):
  """Each frame of a staggered clip ends as it would alone: the network here treats frames independently."""
  x = process.prior(jax.random.key(0), (1, 3, 8))
  steps = grid(6)
  # The first frame does not wait, the second waits at the start, the third in the middle.
  frames = [
    jnp.concatenate([steps, jnp.zeros(2)]),
    jnp.concatenate([jnp.ones(2), steps]),
    jnp.concatenate([steps[:4], steps[3:4], steps[3:4], steps[4:]]),
  ]
  times = jnp.stack(frames, -1)[:, None]
  seen = []
  out = solve(
    process, smooth, {"a": x}, times, CONTEXT, KEYS, solver, callback=lambda i, x: seen.append(x["a"])
  )["a"]
  jax.effects_barrier()
  for frame in range(3):
    alone = follow(process, smooth, x[0, frame], steps, solver)
    np.testing.assert_allclose(out[0, frame], alone, atol=1e-5)
  np.testing.assert_array_equal(seen[1][:, 1], x[:, 1])
  np.testing.assert_array_equal(seen[4][:, 2], seen[2][:, 2])
  np.testing.assert_array_equal(seen[7][:, 0], seen[5][:, 0])
  # The memory matters: without it, every step would be an Euler step.
  assert np.abs(out - solve(process, smooth, {"a": x}, times, CONTEXT, KEYS, "euler")["a"]).max() > 1e-3


def test_the_reflected_process_refuses():
  x = {"a": jnp.zeros((1, 1, 2))}
  with pytest.raises(UserError, match="use solver='heun' or 'ancestral'"):
    solve(Reflected(), smooth, x, grid(2)[:, None, None], CONTEXT, KEYS, "multistep")


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_solvers_of_several_steps_carry_a_memory(solver):
  x = {"a": jnp.zeros((1, 3, 7)), "b": jnp.zeros((1, 3, 7))}
  times, keys = jnp.broadcast_to(grid(4)[:, None, None], (5, 1, 3)), jax.random.key(0)[None]
  program = jax.make_jaxpr(lambda x: solve(GaussianFlow(), smooth, x, times, CONTEXT, keys, solver))(x)
  (loop,) = (e for e in program.eqns if e.primitive.name in ("scan", "while"))
  clips = sum(v.aval.shape == (1, 3, 7) for v in loop.outvars)
  memories = {"multistep": 1, "dpmpp_2m": 1, "dpmpp_2m_sde": 1, "unipc": 3}
  assert clips == 2 * (1 + memories.get(solver, 0))
