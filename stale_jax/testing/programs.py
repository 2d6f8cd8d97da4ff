"""What a traced program holds: its largest intermediate array and its largest constant."""

from collections.abc import Iterator

import numpy as np
from jax.extend import core


def largest_intermediate(program: core.ClosedJaxpr) -> int:
  """Elements of the largest array that an operation returns, in this and in all programs that it calls."""
  return max(out.aval.size for part in _parts(program.jaxpr) for eqn in part.eqns for out in eqn.outvars)


def largest_constant(program: core.ClosedJaxpr) -> int:
  """Bytes of the largest array that was captured while tracing."""
  captured = [*program.consts]
  for part in _parts(program.jaxpr):
    for eqn in part.eqns:
      captured += [x.val for x in eqn.invars if isinstance(x, core.Literal)]
      for closed in _values(eqn, core.ClosedJaxpr):
        captured += closed.consts
  return max((np.asarray(x).nbytes for x in captured), default=0)


def _parts(jaxpr: core.Jaxpr) -> Iterator[core.Jaxpr]:
  """A program, and all programs among the parameters of its operations."""
  yield jaxpr
  for eqn in jaxpr.eqns:
    for part in _values(eqn, core.Jaxpr):
      yield from _parts(part)
    for part in _values(eqn, core.ClosedJaxpr):
      yield from _parts(part.jaxpr)


def _values(eqn, kind) -> Iterator:
  """The parameters of an operation, and members of tuples among them, that are of a type."""
  for value in eqn.params.values():
    yield from (x for x in (value if isinstance(value, (tuple, list)) else (value,)) if isinstance(x, kind))
