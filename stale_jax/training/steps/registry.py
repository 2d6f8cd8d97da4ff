"""The kinds of training that a section of the config selects."""

from stale_jax.training.steps.nft import GRPO
from stale_jax.training.steps.reflow import Reflow
from stale_jax.training.steps.self_forcing import SelfForcing

# Section of the config -> settings of the step. Without these sections, a denoiser is trained with
# `steps.denoise` and an autoencoder with `steps.autoencode`.
STEPS = {"self_forcing": SelfForcing, "grpo": GRPO, "reflow": Reflow}
