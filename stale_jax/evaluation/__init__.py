"""What a model's clips are worth."""

from stale_jax.evaluation.band_energy import band_energy
from stale_jax.evaluation.captions import evaluate_captions
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.likelihood import clip_bits, evaluate_likelihood, likelihood
from stale_jax.evaluation.reader import Reader, Reading
from stale_jax.evaluation.senses import agreement, f1

__all__ = [
  "Reader",
  "Reading",
  "agreement",
  "band_energy",
  "clip_bits",
  "evaluate_captions",
  "evaluate_likelihood",
  "f1",
  "frechet",
  "likelihood",
]
