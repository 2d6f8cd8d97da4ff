"""The registry of samplers, selected by `rollout.how`. A new sampler needs one file and one line here."""

import dataclasses
from typing import Any

from stale_jax.errors import UserError
from stale_jax.fields import nearest
from stale_jax.sampling.samplers.all_frames import AllFrames
from stale_jax.sampling.samplers.causal import CausalRollout
from stale_jax.sampling.samplers.next_frame import NextFrame
from stale_jax.sampling.samplers.request import ChosenSampler, Sampler
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.samplers.stream import StreamRollout
from stale_jax.sampling.samplers.windows import Windows

# rollout.how -> sampler.
SAMPLERS: dict[str, type[ChosenSampler]] = {
  "all_frames": AllFrames,
  "artv": NextFrame,
  "causal": CausalRollout,
  "stream": StreamRollout,
  "windows": Windows,
}


def build_sampler(rollout: Rollout, system) -> Sampler:
  """Builds the sampler that `rollout` describes for `system`.

  Raises:
    UserError: `rollout.how` is unknown, the model was not trained for this sampler, or the settings do not
      suit the model's number of frames.
  """
  _check_known(rollout.how)
  return SAMPLERS[rollout.how].build(rollout, system)


def replaced(rollout: Rollout, **overrides: Any) -> Rollout:
  """Returns a copy of `rollout` with the values of those `overrides` that are not None.

  Raises:
    UserError: an unknown sampler, an invalid setting, or a setting that differs from its default but is not
      used by the sampler.
  """
  stated = {name: value for name, value in overrides.items() if value is not None}
  new, default = dataclasses.replace(rollout, **stated), Rollout()
  _check_known(new.how)
  used = SAMPLERS[new.how].settings
  for name, value in stated.items():
    if name != "how" and name not in used and value != vars(default)[name]:
      ways = " or ".join(how for how, sampler in SAMPLERS.items() if name in sampler.settings)
      raise UserError(f"rollout {name}={value!r} does nothing where how={new.how!r}: set how to {ways}.")
  return new


def _check_known(how: str) -> None:
  """Raises UserError if no sampler is registered as `how`."""
  if how not in SAMPLERS:
    raise UserError(f"unknown rollout.how {how!r}: {nearest(how, SAMPLERS)}")
