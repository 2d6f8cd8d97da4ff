"""What training minimises."""

from stale_jax.objectives.denoising import Denoising, Prediction, predict

__all__ = ["Denoising", "Prediction", "predict"]
