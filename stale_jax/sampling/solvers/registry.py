"""The registry of solvers, selected by `sampling.solver`. A new solver needs one file and one line here."""

from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.processes import Process
from stale_jax.sampling.solvers.ancestral import Ancestral
from stale_jax.sampling.solvers.consistency import Consistency
from stale_jax.sampling.solvers.dpm import Dpm2M, Dpm2MSde
from stale_jax.sampling.solvers.euler import Euler
from stale_jax.sampling.solvers.heun import Heun
from stale_jax.sampling.solvers.multistep import Multistep
from stale_jax.sampling.solvers.solver import Solver
from stale_jax.sampling.solvers.unipc import UniPC

SOLVERS: dict[str, Solver] = {
  "euler": Euler(),
  "heun": Heun(),
  "ancestral": Ancestral(),
  "consistency": Consistency(),
  "multistep": Multistep(),
  "dpmpp_2m": Dpm2M(),
  "dpmpp_2m_sde": Dpm2MSde(),
  "unipc": UniPC(),
}


def fitting_solver(name: str, process: Process) -> Solver:
  """The solver with this name.

  Raises:
    UserError: the name is unknown, or the solver cannot be used with `process`.
  """
  if name not in SOLVERS:
    raise UserError(f"unknown solver {name!r}: {nearest(name, SOLVERS)}")
  if not SOLVERS[name].fits(process):
    others = " or ".join(repr(other) for other in ("heun", "ancestral") if SOLVERS[other].fits(process))
    raise UserError(f"solver={name!r} does not fit {type(process).__name__}: use solver={others}.")
  return SOLVERS[name]
