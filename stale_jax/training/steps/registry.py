"""The kinds of training that a section of the config chooses."""

from stale_jax.training.steps.nft import GRPO
from stale_jax.training.steps.self_forcing import SelfForcing

# Section of the config -> settings of the step. Without any of these sections a denoiser is trained by
# `steps.denoise` and an autoencoder by `steps.autoencode`.
STEPS = {"self_forcing": SelfForcing, "grpo": GRPO}
