"""What a model's clips are worth."""

from stale_jax.evaluation.captions import evaluate_captions
from stale_jax.evaluation.contamination import evaluate_contamination
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.reader import Reader, Reading
from stale_jax.evaluation.senses import agreement, f1

__all__ = ["Reader", "Reading", "agreement", "evaluate_captions", "evaluate_contamination", "f1", "frechet"]
