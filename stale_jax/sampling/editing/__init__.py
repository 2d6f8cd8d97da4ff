"""Editing of clips: the noise with which a sampler would make a clip, and clips made with this noise.

`langevin` changes the noise so that an energy of the clip falls.
"""

from stale_jax.sampling.editing.cycle_diffusion import translate
from stale_jax.sampling.editing.dpm_encoder import Codes, decode, encode
from stale_jax.sampling.editing.langevin import Energy, Langevin, langevin_step

__all__ = ["Codes", "Energy", "Langevin", "decode", "encode", "langevin_step", "translate"]
