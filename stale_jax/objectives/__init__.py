"""What training minimises."""

from stale_jax.objectives.denoising import Denoising, Prediction, predict
from stale_jax.objectives.dog import DoG
from stale_jax.objectives.pyramid import band_energies, bands, response
from stale_jax.objectives.total import Total

__all__ = ["Denoising", "DoG", "Prediction", "Total", "band_energies", "bands", "predict", "response"]
