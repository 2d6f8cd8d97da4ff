"""In-painting: sampling with known values, and a circuit whose exact conditionals steer it."""

from stale_jax.sampling.inpainting.circuit import Circuit, log_likelihood, posterior
from stale_jax.sampling.inpainting.em import CircuitSettings, fit, random_circuit
from stale_jax.sampling.inpainting.known import Known
from stale_jax.sampling.inpainting.steering import Steering

__all__ = [
  "Circuit",
  "CircuitSettings",
  "Known",
  "Steering",
  "fit",
  "log_likelihood",
  "posterior",
  "random_circuit",
]
