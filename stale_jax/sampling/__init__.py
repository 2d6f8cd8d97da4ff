"""Solvers, guidance, and the two together."""

from stale_jax.sampling.artv import NextFrame, artv
from stale_jax.sampling.guidance import classifier_free, hinge_guidance
from stale_jax.sampling.rollout import (
  Causal,
  Rollout,
  by_rows,
  causal,
  causal_programs,
  fold,
  prompt_at,
  turns,
  windows,
)
from stale_jax.sampling.sample import Sampling, sample
from stale_jax.sampling.solvers import SOLVERS, Denoiser, prior, solve
from stale_jax.sampling.story import Story, consistent, tiled

__all__ = [
  "SOLVERS",
  "Causal",
  "Denoiser",
  "NextFrame",
  "Rollout",
  "Sampling",
  "Story",
  "artv",
  "by_rows",
  "causal",
  "causal_programs",
  "classifier_free",
  "consistent",
  "fold",
  "hinge_guidance",
  "prior",
  "prompt_at",
  "turns",
  "sample",
  "solve",
  "tiled",
  "windows",
]
