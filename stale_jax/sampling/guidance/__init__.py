"""Guidance: functions that map a denoiser to a denoiser, and the rules that they follow, one per file."""

from stale_jax.sampling.guidance.classifier_free import both_halves, classifier_free
from stale_jax.sampling.guidance.optimized_scale import OptimizedScale
from stale_jax.sampling.guidance.projected import Projected
from stale_jax.sampling.guidance.registry import RULES
from stale_jax.sampling.guidance.rescaled import Rescaled
from stale_jax.sampling.guidance.rule import Plain, Rule
from stale_jax.sampling.guidance.skip_layers import Push, SkipLayers

__all__ = [
  "RULES",
  "OptimizedScale",
  "Plain",
  "Projected",
  "Push",
  "Rescaled",
  "Rule",
  "SkipLayers",
  "both_halves",
  "classifier_free",
]
