"""Editing of clips: the noise with which a sampler would make a clip, and clips made with this noise."""

from stale_jax.sampling.editing.cycle_diffusion import translate
from stale_jax.sampling.editing.dpm_encoder import Codes, decode, encode

__all__ = ["Codes", "decode", "encode", "translate"]
