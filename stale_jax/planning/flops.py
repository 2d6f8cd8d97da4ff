"""Counts the floating-point operations of a program in its jaxpr.

Only matrix products and convolutions are counted; a multiply-add is two operations. The body of a loop is
counted as often as it runs, and a `cond` as its most expensive branch. The operations of a kernel are not
visible in the jaxpr, so the network must be traced with attention="unfused".
"""

import math

import jax
from jax.extend import core


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
