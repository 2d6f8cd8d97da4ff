"""Samplers: ways of making movies, all with the protocol `Sampler`.

The samplers in `SAMPLERS` also have the protocol `ChosenSampler`, so that `rollout.how` can select them.
"""

from stale_jax.sampling.samplers.all_frames import AllFrames, ClipProgram, clip_program
from stale_jax.sampling.samplers.causal import CausalRollout
from stale_jax.sampling.samplers.causal_programs import Causal, causal_programs
from stale_jax.sampling.samplers.complete import complete, complete_batches, every_sense, reporting
from stale_jax.sampling.samplers.next_frame import NextFrame
from stale_jax.sampling.samplers.registry import SAMPLERS, build_sampler, replaced
from stale_jax.sampling.samplers.request import Request, Sampler
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.samplers.windows import Windows, windows

__all__ = [
  "SAMPLERS",
  "AllFrames",
  "Causal",
  "CausalRollout",
  "ClipProgram",
  "NextFrame",
  "Request",
  "Rollout",
  "Sampler",
  "Windows",
  "build_sampler",
  "causal_programs",
  "clip_program",
  "complete",
  "complete_batches",
  "every_sense",
  "replaced",
  "reporting",
  "windows",
]
