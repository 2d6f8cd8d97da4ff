"""What training minimises."""

from stale_jax.objectives.artv import Artv, Copy, copying, masked
from stale_jax.objectives.conditions import ConditionCorruption, forget
from stale_jax.objectives.cringe import Cringe, hinge, targets
from stale_jax.objectives.denoising import Denoising, Prediction, corrupt, predict
from stale_jax.objectives.dmd import dmd_loss, dmd_step
from stale_jax.objectives.dog import DoG
from stale_jax.objectives.first_frames import FirstFrames, hold
from stale_jax.objectives.grpo import advantages, motion_reward, nft_loss, speeds
from stale_jax.objectives.messup import MessUp
from stale_jax.objectives.pyramid import band_energies, bands, response
from stale_jax.objectives.reconstruction import Reconstruction
from stale_jax.objectives.total import Total

__all__ = [
  "Artv",
  "ConditionCorruption",
  "Copy",
  "Cringe",
  "Denoising",
  "DoG",
  "FirstFrames",
  "MessUp",
  "Prediction",
  "Reconstruction",
  "Total",
  "advantages",
  "band_energies",
  "bands",
  "copying",
  "corrupt",
  "dmd_loss",
  "dmd_step",
  "forget",
  "hinge",
  "hold",
  "masked",
  "motion_reward",
  "nft_loss",
  "predict",
  "response",
  "speeds",
  "targets",
]
