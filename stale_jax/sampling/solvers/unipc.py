"""UniPC, a predictor-corrector solver with one evaluation per step (Zhao et al., arXiv 2302.04867)."""

import dataclasses

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process
from stale_jax.processes.process import Times, per_frame
from stale_jax.sampling.solvers.dpm import Dpm2M, half_log_snr, has_slope
from stale_jax.sampling.solvers.multistep import along_ode
from stale_jax.sampling.solvers.solver import Reverse


@flax.struct.dataclass
class UniPCState:
  """The state of `UniPC`.

  Attributes:
    x: the clip, as predicted.
    base: the corrected clip at the start of each frame's previous step.
    t, older_t: the times of each frame at the start of its previous step and of the one before.
    clean, older_clean: the estimates of x0 at these times.
  """

  x: Clip
  base: Clip
  t: Float[Array, "batch frames"]
  older_t: Float[Array, "batch frames"]
  clean: Clip
  older_clean: Clip


@dataclasses.dataclass(frozen=True)
class UniPC:
  """UniPC of second order in x0, with B(h) = e^h - 1 (Zhao et al., arXiv 2302.04867, Alg. 5 to 8, "bh2").

  The predictor is DPM-Solver++(2M). The evaluation at the end of a step, which the next step needs anyway,
  then corrects the step: it is repeated from its start, with x0 interpolated through its values at both ends
  and at the start of the step before, so the corrector has one more order than the predictor. The output is
  not evaluated again at the corrected clip.

  For a step of length h in the half log-SNR, with x0 = m at its start, m + d at its end, and m - d' at the
  start of the step before, of length h / q, the corrector integrates

    m + b1 d + (b2 - b1) q / (1 + q) (d - q d'),

    b1 = 1 / (1 - e^-h) - 1 / h,   b2 = 1 / (1 - e^-h) - 2 b1 / h,

  where b1 and b2 are the means of the fraction of the step and of its square, with the weight of the
  exponential integrator. The first step of a frame is corrected by m + d / 2 ("bh2" of order 1). The last
  step, to s = 0, is not corrected. It agrees with diffusers' `UniPCMultistepScheduler` (solver_order=2,
  solver_type="bh2", final_sigmas_type="zero") on the same noise levels.
  """

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.mixes_noise

  def initialize(self, reverse: Reverse, x: Clip) -> UniPCState:
    """See `Solver`."""
    start = reverse.times[0]
    return UniPCState(x=x, base=x, t=start, older_t=start, clean=x, older_clean=x)

  def step(self, reverse: Reverse, step: Int[Array, ""], state: UniPCState) -> UniPCState:
    """See `Solver`."""
    process, (t, s) = reverse.process, reverse.between(step)
    output = reverse.evaluate(state.x, t)
    ahead = Dpm2M().weight(process, state.t, t, s)
    now, behind = corrector_weights(process, state.older_t, state.t, t)
    x, base, clean, older = {}, {}, {}, {}
    for name, predicted in state.x.items():
      moves = per_frame(s < t, predicted)
      new, last = process.denoised(output[name], predicted, t), state.clean[name]
      interpolated = last + per_frame(now, predicted) * (new - last)
      interpolated += per_frame(behind, predicted) * (last - state.older_clean[name])
      corrected = along_ode(process, state.base[name], process.project(interpolated), state.t, t)
      corrected = jnp.where(per_frame(state.t > t, predicted), corrected, predicted)
      target = process.project(new + per_frame(ahead, predicted) * (new - last))
      x[name] = jnp.where(moves, along_ode(process, corrected, target, t, s), predicted)
      base[name] = jnp.where(moves, corrected, state.base[name])
      clean[name] = jnp.where(moves, new, last)
      older[name] = jnp.where(moves, last, state.older_clean[name])
    older = {
      n: jnp.where(per_frame(s < t, c), state.clean[n], state.older_clean[n]) for n, c in clean.items()
    }
    return UniPCState(
      x=x,
      base=base,
      t=jnp.where(s < t, t, state.t),
      older_t=jnp.where(s < t, state.t, state.older_t),
      clean=clean,
      older_clean=older,
    )

  def finalize(self, state: UniPCState) -> Clip:
    """See `Solver`."""
    return state.x


def corrector_weights(process: Process, older: Times, last: Times, t: Times) -> tuple[Times, Times]:
  """The factors of the differences of x0 that the corrector adds to x0 at `last`; the step is last to t.

  Returns:
    (the factor of x0 at t - x0 at last, the factor of x0 at last - x0 at older).
  """
  start = half_log_snr(process, last)
  h = half_log_snr(process, t) - start
  second = has_slope(process, older, last) & (last > t)
  h, before = jnp.where(second, h, 1.0), jnp.where(second, start - half_log_snr(process, older), 1.0)
  q = h / before
  first_moment, second_moment = moments(h)
  bend = (second_moment - first_moment) * q / (1 + q)
  return jnp.where(second, first_moment + bend, 0.5), jnp.where(second, -bend * q, 0.0)


def moments(h: Times) -> tuple[Times, Times]:
  """b1 and b2 of `UniPC`; for small steps by their Taylor series, since the terms cancel."""
  small = h < 0.5
  exact = jnp.where(small, 1.0, h)
  inverse = -1 / jnp.expm1(-exact)
  first = inverse - 1 / exact
  second = inverse - 2 * first / exact
  # 1 / (1 - e^-h) = 1 / h + 1 / 2 + h a, where a = 1/12 - h^2/720 + ... has the Bernoulli numbers.
  h = jnp.where(small, h, 0.0)
  h2 = jnp.square(h)
  a = 1 / 12 - h2 * (1 / 720 - h2 * (1 / 30240 - h2 * (1 / 1209600 - h2 / 47900160)))
  return jnp.where(small, 0.5 + h * a, first), jnp.where(small, 0.5 + (h - 2) * a, second)
