"""Solvers, guidance, and the two together."""

from stale_jax.sampling.guidance import classifier_free, hinge_guidance
from stale_jax.sampling.sample import Sampling, sample
from stale_jax.sampling.solvers import SOLVERS, Denoiser, prior, solve

__all__ = ["SOLVERS", "Denoiser", "Sampling", "classifier_free", "hinge_guidance", "prior", "sample", "solve"]
