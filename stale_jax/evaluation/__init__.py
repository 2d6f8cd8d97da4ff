"""Measures of generated clips, and of models on held-out clips; `SUITES` lists them."""

from stale_jax.evaluation.band_energy import band_energy
from stale_jax.evaluation.captions import evaluate_captions
from stale_jax.evaluation.cartoons import evaluate_cartoons, evaluate_composition, shipped_reader
from stale_jax.evaluation.contamination import evaluate_contamination
from stale_jax.evaluation.denoising import evaluate_denoising
from stale_jax.evaluation.dynamics import evaluate_dynamics
from stale_jax.evaluation.entropy import entropy
from stale_jax.evaluation.features import evaluate_features
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.kernel_distance import kernel_distance
from stale_jax.evaluation.labels import evaluate_labels, reward, score
from stale_jax.evaluation.likelihood import clip_bits, evaluate_likelihood
from stale_jax.evaluation.liveliness import Liveliness, change_of
from stale_jax.evaluation.memorisation import evaluate_memorisation
from stale_jax.evaluation.reader import Reader, Reading
from stale_jax.evaluation.reconstruction import evaluate_reconstruction
from stale_jax.evaluation.rollouts import evaluate_liveliness
from stale_jax.evaluation.senses import agreement, f1
from stale_jax.evaluation.suites import SUITES

__all__ = [
  "SUITES",
  "Liveliness",
  "Reader",
  "Reading",
  "agreement",
  "band_energy",
  "change_of",
  "clip_bits",
  "entropy",
  "evaluate_captions",
  "evaluate_cartoons",
  "evaluate_composition",
  "evaluate_contamination",
  "evaluate_denoising",
  "evaluate_dynamics",
  "evaluate_features",
  "evaluate_labels",
  "evaluate_likelihood",
  "evaluate_liveliness",
  "evaluate_memorisation",
  "evaluate_reconstruction",
  "f1",
  "frechet",
  "kernel_distance",
  "reward",
  "score",
  "shipped_reader",
]
