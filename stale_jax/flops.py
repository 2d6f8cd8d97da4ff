"""Counts the floating-point operations of a program in its jaxpr.

Only matrix products and convolutions are counted; a multiply-add is two operations. The body of a loop is
counted as often as it runs, and a `cond` as its most expensive branch. The operations of a kernel are not
visible in the jaxpr, so the network must be traced with attention="unfused".
"""

import math

import jax
from jax.extend import core

# Substring of JAX's `device_kind` -> peak dense bfloat16 operations per second of a JAX device. TPUs: see
# `planning.chips`; a TPU7x chip is two devices. GPUs: https://www.nvidia.com/en-us/data-center/a100, /h100,
# /h200 (SXM) and /l4; for the last three half of the number with sparsity.
PEAK = {
  "TPU v5 lite": 197e12,
  "TPU v5": 459e12,
  "TPU v6 lite": 918e12,
  "TPU7x": 1153.5e12,
  "A100": 312e12,
  "H100": 989e12,
  "H200": 989e12,
  "L4": 121e12,
}


def peak_flops(kind: str) -> float | None:
  """Peak bfloat16 operations per second of a device of JAX's `device_kind`; None if it is unknown."""
  # The longest name first: "TPU v5" is also a part of "TPU v5 lite".
  return next((PEAK[name] for name in sorted(PEAK, key=len, reverse=True) if name in kind), None)


def count(f, *args) -> float:
  """Number of operations of `f(*args)`; the arguments may be `jax.ShapeDtypeStruct`s."""
  return count_jaxpr(jax.make_jaxpr(f)(*args).jaxpr)


def count_jaxpr(jaxpr: core.Jaxpr) -> float:
  """Number of operations of `jaxpr`; the body of a `while` loop is counted once."""
  return sum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation) -> float:
  name, params = equation.primitive.name, equation.params
  if name == "dot_general":
    return _dot(equation)
  if name == "conv_general_dilated":
    return _convolution(equation)
  inner = [count_jaxpr(jaxpr) for jaxpr in _inside(params)]
  if name == "cond":
    return max(inner)
  if name == "scan":
    return params["length"] * sum(inner)
  if name == "shard_map":
    mesh = params["mesh"]
    return math.prod(mesh.shape[axis] for axis in params["manual_axes"]) * sum(inner)
  return sum(inner)


def _inside(params):
  """The jaxprs among the parameters of an equation."""
  for key, value in params.items():
    if key in ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd"):  # These do not run.
      continue
    for one in value if isinstance(value, (tuple, list)) else (value,):
      one = getattr(one, "jaxpr", one)
      if hasattr(one, "eqns"):
        yield one


def _dot(equation) -> float:
  (contracted, _), _ = equation.params["dimension_numbers"]
  lhs = equation.invars[0].aval.shape
  return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(lhs[axis] for axis in contracted)


def _convolution(equation) -> float:
  kernel = equation.invars[1].aval.shape
  numbers = equation.params["dimension_numbers"]
  each = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
  return 2.0 * math.prod(equation.outvars[0].aval.shape) * each / equation.params["batch_group_count"]
