"""Tractable steering: in-painting with the exact conditionals of a circuit (Tiramisu, arXiv 2401.03349).

Most of a clip is decided in the first steps, when the network sees the known values only through noise. A
circuit (`inpainting.circuit`) sees them as they are: it computes the posterior of each value x0 given the
known values and, as soft evidence, the noised unknown values x_t. The paper encodes the network's estimate
into the tokens of an autoencoder and takes these as evidence. In pixels the evidence of x_t is known exactly,
and for uniform noise it is hard: x0 lies in [(x_t - sigma) / alpha, (x_t + sigma) / alpha], every level of
the circuit outside of this interval is excluded, and one that lies partly outside counts in proportion to its
part inside (`MixingProcess.interval_evidence`, where this is derived). The density of the circuit is constant
within a level, so that its posterior mean is exact, without an error of discretisation.

The two posteriors, p_N(x0 | x_t) of the network and p_C(x0 | x_t, known) of the circuit, are pooled. The
paper takes the geometric mean p_N^a p_C^(1 - a) per pixel with a = .8 + .2 exp(-2 t), and gives p_N a
Gaussian shape. Here they are pooled linearly, a p_N + (1 - a) p_C, since a step of the ODE needs a mean, and

  E[x0] = a E_N[x0] + (1 - a) E_C[x0]

needs no shape of p_N, of which the network knows the mean only. The time enters in the same way, with the
settable weight w = .2 in the paper: 1 - a = w (1 - exp(-2 t)). The weights add up to 1 in both pools, so that
x_t, which both posteriors have used, is not counted twice: two posteriors that agree are not changed.

The circuit is evaluated only at the noisy end, in the first steps, and never in the others (`Switch`).
"""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stale_jax.clip import Clip, Context
from stale_jax.processes.process import MixingProcess, per_frame
from stale_jax.sampling.inpainting.circuit import IMPOSSIBLE, Circuit, evidence_of, posterior
from stale_jax.sampling.solvers import Denoiser, Switch


@flax.struct.dataclass
class Steering:
  """A circuit that steers the first steps.

  Attributes:
    circuit: the circuit.
    weight: w, from 0 to 1.
    until: the smallest time with steering.
  """

  circuit: Circuit
  weight: Float[Array, ""]
  until: Float[Array, ""]


def circuit_mean(
  circuit: Circuit,
  process: MixingProcess,
  x: Clip,
  t: Float[Array, "batch frames"],
  values: Clip,
  mask: Mapping[str, Bool[Array, "batch frames *shape"]],
) -> Clip:
  """E[x0 | x_t, known values] under the circuit, for the senses of the circuit.

  Args:
    circuit: the circuit.
    process: the process, which mixes noise.
    x: the noised clip x_t.
    t: its times.
    values, mask: the known values and where they are; see `Known`.
  """
  names = [name for name in x if name in circuit.leaves]
  exact = evidence_of(circuit, {name: values[name] for name in names})
  low, high = jnp.asarray(circuit.edges[:-1]), jnp.asarray(circuit.edges[1:])
  evidence, middles = {}, {}
  for name in names:
    log_density, middles[name] = process.interval_evidence(x[name][..., None], low, high, t)
    relative = log_density - log_density.max(-1, keepdims=True)
    known = mask[name][..., None]
    evidence[name] = jnp.where(known, exact[name], jnp.maximum(relative, IMPOSSIBLE))
  levels = posterior(circuit, evidence)
  return {name: jnp.sum(levels[name] * middles[name], -1) for name in names}


def _pooled(own: Array, other: Array, trust: Array) -> Array:
  """The mean of the linear pool with the weight `trust` of `other`."""
  return (1 - trust) * own + trust * other


def steered(
  process: MixingProcess,
  denoiser: Denoiser,
  values: Clip,
  mask: Mapping[str, Bool[Array, "batch frames *shape"]],
  steering: Steering,
) -> Switch:
  """The denoiser whose outputs are pooled with the posterior means of a circuit, at times from `until` on."""

  def there(clip: Clip, t: Float[Array, "batch frames"], context: Context) -> Clip:
    output = denoiser(clip, t, context)
    means = jax.lax.stop_gradient(circuit_mean(steering.circuit, process, clip, t, values, mask))
    trust = jnp.where(t >= steering.until, -steering.weight * jnp.expm1(-2 * t), 0.0)
    pooled = {name: _pooled(output[name], mean, per_frame(trust, mean)) for name, mean in means.items()}
    return {**output, **pooled}

  return Switch(inside=lambda t: (t >= steering.until).any((-2, -1)), there=there, elsewhere=denoiser)
