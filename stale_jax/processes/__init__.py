"""How a clip goes stale, and how one step is undone."""

from stale_jax.processes.build import build_density, build_process
from stale_jax.processes.flow import GaussianFlow, UniformFlow
from stale_jax.processes.process import Corruption, Process
from stale_jax.processes.reflected import Reflected
from stale_jax.processes.times import LogitNormal, Shifted, TimeDensity, Uniform, grid, shift, stratified

__all__ = [
  "Corruption",
  "GaussianFlow",
  "LogitNormal",
  "Process",
  "Reflected",
  "Shifted",
  "TimeDensity",
  "Uniform",
  "UniformFlow",
  "build_density",
  "build_process",
  "grid",
  "shift",
  "stratified",
]
