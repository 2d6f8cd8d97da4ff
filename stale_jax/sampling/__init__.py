"""Solvers, guidance, and the samplers that make movies with them."""

from stale_jax.sampling.guidance import classifier_free
from stale_jax.sampling.inpainting import Known
from stale_jax.sampling.sample import Start, sample
from stale_jax.sampling.samplers import (
  SAMPLERS,
  AllFrames,
  Causal,
  CausalRollout,
  NextFrame,
  Request,
  Rollout,
  Sampler,
  Windows,
  build_sampler,
  causal_programs,
  complete,
  complete_batches,
  replaced,
  reporting,
  windows,
)
from stale_jax.sampling.settings import Sampling, overridden
from stale_jax.sampling.solve import last_step, prior, solve
from stale_jax.sampling.solvers import SOLVERS, Denoiser, Reverse, Solver
from stale_jax.sampling.story import Story, consistent, tiled
from stale_jax.sampling.teleport import Teleport

__all__ = [
  "SAMPLERS",
  "SOLVERS",
  "AllFrames",
  "Causal",
  "CausalRollout",
  "Denoiser",
  "Known",
  "NextFrame",
  "Request",
  "Reverse",
  "Rollout",
  "Sampler",
  "Sampling",
  "Solver",
  "Start",
  "Story",
  "Teleport",
  "Windows",
  "build_sampler",
  "causal_programs",
  "classifier_free",
  "complete",
  "complete_batches",
  "consistent",
  "last_step",
  "overridden",
  "prior",
  "replaced",
  "reporting",
  "sample",
  "solve",
  "tiled",
  "windows",
]
