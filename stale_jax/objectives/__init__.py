"""What training minimises."""

from stale_jax.objectives.conditions import ConditionCorruption
from stale_jax.objectives.denoising import Denoising, Prediction, predict
from stale_jax.objectives.messup import MessUp
from stale_jax.objectives.total import Total

__all__ = ["ConditionCorruption", "Denoising", "MessUp", "Prediction", "Total", "predict"]
