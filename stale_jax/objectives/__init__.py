"""What training minimises."""

from stale_jax.objectives.cringe import Cringe, hinge, targets
from stale_jax.objectives.denoising import Denoising, Prediction, corrupt, predict
from stale_jax.objectives.total import Total

__all__ = ["Cringe", "Denoising", "Prediction", "Total", "corrupt", "hinge", "predict", "targets"]
