"""Builds processes and distributions of training times from config sections."""

from stale_jax.construct import choose
from stale_jax.processes.flow import UniformFlow
from stale_jax.processes.gaussian import EDM, VP, GaussianFlow
from stale_jax.processes.process import Process
from stale_jax.processes.reflected import Reflected
from stale_jax.processes.times import CosMap, LogitNormal, Mode, Shifted, TimeSampler, Uniform
from stale_jax.processes.tokens import UniformTokens

PROCESSES = {
  "reflected": Reflected,
  "uniform_flow": UniformFlow,
  "gaussian_flow": GaussianFlow,
  "vp": VP,
  "edm": EDM,
  "uniform_tokens": UniformTokens,
}
TIME_SAMPLERS = {
  "uniform": Uniform,
  "logit_normal": LogitNormal,
  "mode": Mode,
  "cosmap": CosMap,
  "shifted": Shifted,
}


def build_process(section) -> Process:
  """Builds the process `section.name`, a key of PROCESSES; the other keys are its fields."""
  return choose(PROCESSES, section, "process")


def build_time_sampler(section) -> TimeSampler:
  """Builds the time sampler `section.name`, a key of TIME_SAMPLERS; the other keys are its fields."""
  return choose(TIME_SAMPLERS, section, "times")
