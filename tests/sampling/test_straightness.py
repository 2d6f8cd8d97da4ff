"""The bend of paths whose velocity is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.processes import UniformFlow
from stale_jax.processes.process import per_frame
from stale_jax.sampling.straightness import bend

PROCESS, CONTEXT = UniformFlow(), Context(text=jnp.ones((2, 2), jnp.int32))
NOISE = {"a": jnp.asarray([[[0.1], [0.2]], [[-0.3], [0.4]]])}


def measured(velocity, steps: int):
  """Of the path whose velocity at time t is velocity(t) times the noise; the denoiser is x - t v."""

  def denoiser(clip, t, context):
    return {"a": clip["a"] - per_frame(t * velocity(t), clip["a"]) * NOISE["a"]}

  times = jnp.broadcast_to(jnp.linspace(1.0, 0.0, steps + 1)[:, None, None], (steps + 1, 2, 2))
  return np.asarray(bend(PROCESS, denoiser, NOISE, times, CONTEXT)["a"])


def test_a_straight_path_does_not_bend():
  np.testing.assert_allclose(measured(jnp.ones_like, 10), 0, atol=1e-6)


@pytest.mark.parametrize("steps", [40, 400])
def test_a_known_bend(steps):
  """v = 2 t e moves by e in all, and int (e - 2 t e)^2 dt = e^2 / 3."""
  t = np.linspace(1, 0, steps + 1)[:-1]
  line = np.mean(2 * t)  # Of Euler's method.
  want = np.mean(np.square(2 * t - line)) / line**2
  np.testing.assert_allclose(measured(lambda t: 2 * t, steps), want, rtol=1e-3)
  assert want == pytest.approx(1 / 3, rel=0.06)
