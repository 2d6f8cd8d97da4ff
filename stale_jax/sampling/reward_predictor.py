"""Prediction of the expected reward of a distribution of noise: the baseline of FIND (arXiv 2407.19453).

The rewards of draws of several distributions are compared with what each distribution earns on average. The
mean of the rewards of a batch would say this with the noise of one batch; a network of the distribution's
parameters, fitted to all rewards so far, averages over batches of similar distributions. It does not see the
draw, and so adds no bias to the gradient of the policy.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

_HIDDEN = 16
_OPTIMIZER = optax.adam(1e-2)


@flax.struct.dataclass
class Predictor:
  """A network with one hidden layer, and the state of its optimizer."""

  params: Any
  state: Any

  def __call__(self, policies: Float[Array, "batch size"]) -> Float[Array, "batch"]:
    """The expected reward of each distribution, given by its parameters."""
    return _predict(self.params, policies)


def initial_predictor(key: PRNGKeyArray, size: int) -> Predictor:
  """A predictor for distributions of `size` parameters, which predicts 0."""
  hidden = jax.random.normal(key, (size, _HIDDEN)) / jnp.sqrt(size)
  params = {"hidden": hidden, "out": jnp.zeros(_HIDDEN), "bias": jnp.zeros(())}
  return Predictor(params, _OPTIMIZER.init(params))


@functools.partial(jax.jit, static_argnums=3)
def fitted(
  predictor: Predictor, policies: Float[Array, "batch size"], rewards: Float[Array, "batch"], steps: int
) -> Predictor:
  """The predictor after `steps` steps on the mean squared error of `rewards`."""

  def loss(params):
    return jnp.mean(jnp.square(_predict(params, policies) - rewards))

  def step(_, predictor):
    updates, state = _OPTIMIZER.update(jax.grad(loss)(predictor.params), predictor.state)
    return Predictor(optax.apply_updates(predictor.params, updates), state)

  return jax.lax.fori_loop(0, steps, step, predictor)


def _predict(params, policies):
  return jnp.tanh(policies @ params["hidden"]) @ params["out"] + params["bias"]
