"""Training objectives: the losses that training minimises, and the corruptions it applies."""

from stale_jax.objectives.artv import Artv, Copy, copying, masked
from stale_jax.objectives.conditions import ConditionCorruption, forget, kept_encoders
from stale_jax.objectives.cringe import Cringe, hinge, targets
from stale_jax.objectives.denoising import Denoising
from stale_jax.objectives.dmd import dmd_loss, dmd_step
from stale_jax.objectives.dog import DoG
from stale_jax.objectives.first_frames import ConditioningFrames, FirstFrames, hold
from stale_jax.objectives.grpo import advantages, global_speeds, motion_reward, nft_loss
from stale_jax.objectives.messup import MessUp
from stale_jax.objectives.objective import Objective, Term
from stale_jax.objectives.prediction import Prediction, predict
from stale_jax.objectives.pyramid import band_energies, response, split_bands
from stale_jax.objectives.reconstruction import Reconstruction
from stale_jax.objectives.total import Total

__all__ = [
  "Artv",
  "ConditionCorruption",
  "ConditioningFrames",
  "Copy",
  "Cringe",
  "Denoising",
  "DoG",
  "FirstFrames",
  "MessUp",
  "Objective",
  "Prediction",
  "Reconstruction",
  "Term",
  "Total",
  "advantages",
  "band_energies",
  "split_bands",
  "copying",
  "dmd_loss",
  "dmd_step",
  "forget",
  "kept_encoders",
  "global_speeds",
  "hinge",
  "hold",
  "masked",
  "motion_reward",
  "nft_loss",
  "predict",
  "response",
  "targets",
]
