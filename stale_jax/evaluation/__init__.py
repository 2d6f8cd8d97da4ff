"""What a model's clips are worth."""

from stale_jax.evaluation.band_energy import band_energy
from stale_jax.evaluation.captions import evaluate_captions
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.reader import Reader, Reading
from stale_jax.evaluation.senses import agreement, f1

__all__ = ["Reader", "Reading", "agreement", "band_energy", "evaluate_captions", "f1", "frechet"]
