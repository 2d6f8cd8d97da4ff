"""Solvers of the reverse process, one per file, and the protocol that they follow (`solvers.solver`)."""

from stale_jax.sampling.solvers.ancestral import Ancestral
from stale_jax.sampling.solvers.consistency import Consistency
from stale_jax.sampling.solvers.dpm import Dpm2M, Dpm2MSde
from stale_jax.sampling.solvers.euler import Euler
from stale_jax.sampling.solvers.heun import Heun
from stale_jax.sampling.solvers.multistep import Multistep
from stale_jax.sampling.solvers.registry import SOLVERS, fitting_solver
from stale_jax.sampling.solvers.solver import Denoiser, Reverse, Solver, Switch, frame_keys
from stale_jax.sampling.solvers.unipc import UniPC

__all__ = [
  "SOLVERS",
  "Ancestral",
  "Consistency",
  "Denoiser",
  "Dpm2M",
  "Dpm2MSde",
  "Euler",
  "Heun",
  "Multistep",
  "Reverse",
  "Solver",
  "Switch",
  "UniPC",
  "fitting_solver",
  "frame_keys",
]
