"""Counts the floating-point operations of a program in its jaxpr.

Only matrix products and convolutions count; a multiply-add is two operations. A loop counts as often as it
runs, and of the branches of a `cond` the most expensive one counts. The operations of a kernel are not
visible: trace attention as "unfused".
"""

import math

import jax
from jax.extend import core


def count(f, *args) -> float:
  """Operations of `f(*args)`; the arguments may be shapes."""
  return count_jaxpr(jax.make_jaxpr(f)(*args).jaxpr)


def count_jaxpr(jaxpr: core.Jaxpr) -> float:
  """Operations of `jaxpr`; a loop of unknown length counts once."""
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
