"""Noising processes: how a clip is corrupted, and how one step of noising is reversed.

Every process follows `Process`. Those with a probability-flow ODE also follow `FlowProcess`, and those with
x_t = alpha x0 + sigma e also `MixingProcess` (see `processes.process`).
"""

from stale_jax.processes.build import build_process, build_time_sampler
from stale_jax.processes.flow import UniformFlow
from stale_jax.processes.gaussian import EDM, VP, GaussianFlow
from stale_jax.processes.interpolant import Interpolant, anchored
from stale_jax.processes.moments import Moments, measured_moments
from stale_jax.processes.noising import corrupt, corrupt_array, fold_keys, named_keys, with_keys
from stale_jax.processes.process import Corruption, Process
from stale_jax.processes.reflected import Reflected
from stale_jax.processes.times import (
  CosMap,
  LogitNormal,
  Mode,
  Shifted,
  TimeSampler,
  Uniform,
  clip_times,
  grid,
  shift,
)
from stale_jax.processes.tokens import UniformTokens

__all__ = [
  "EDM",
  "VP",
  "Corruption",
  "CosMap",
  "GaussianFlow",
  "Interpolant",
  "LogitNormal",
  "Mode",
  "Moments",
  "Process",
  "Reflected",
  "Shifted",
  "TimeSampler",
  "Uniform",
  "UniformFlow",
  "UniformTokens",
  "anchored",
  "build_time_sampler",
  "build_process",
  "clip_times",
  "corrupt",
  "corrupt_array",
  "fold_keys",
  "grid",
  "measured_moments",
  "named_keys",
  "shift",
  "with_keys",
]
