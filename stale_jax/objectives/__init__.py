"""What training minimises."""

from stale_jax.objectives.denoising import Denoising, Prediction, predict
from stale_jax.objectives.total import Total

__all__ = ["Denoising", "Prediction", "Total", "predict"]
