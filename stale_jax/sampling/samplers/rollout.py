"""The settings of movies longer than the clips of training, and which sampler knows which of them."""

import dataclasses

from stale_jax.construct import at_least, nearest
from stale_jax.errors import UserError

ON_CHANGE = ("keep", "flush", "recache", "cut")
# Way of sampling -> the settings of `Rollout` that it knows.
KNOWN = {
  "all_frames": (),
  "artv": ("noise",),
  "causal": ("chunk", "window", "sinks", "sink_decay", "rope_jitter", "noise", "revive", "on_change"),
  "windows": ("given", "noise"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
  """How movies are made, and what keeps long ones alive; each remedy is off by default.

  Attributes:
    how: "causal": a few frames at a time after the keys and values of the frames before them. "windows":
      whole clips, each of which begins with the last frames of the clip before. "artv": frame by frame, after
      the first frame and the two before (`objectives.artv`). "all_frames": all frames of a movie together, at
      any length.
    given: windows: how many last frames the next window begins with.
    chunk: causal: frames that are made together.
    window: causal: most frames that are seen, including those being made; 0: as many as a clip of training
      has.
    sinks: causal: how many of these are the first frames of the movie, which are never forgotten.
    sink_decay: causal: how much a sink keeps of itself when a frame is forgotten; the keys and values of that
      frame take up the rest (EMA sinks); 1: all.
    rope_jitter: causal: spread of the heads' rotary base over time, theta (1 + spread U(-1, 1)); 0: none.
    noise: causal, windows, artv: the time to which frames are brought before more are made after them: frames
      given to a window or to a frame, and frames kept as keys and values.
    revive: causal: how much `noise` rises at most, up to 1, when the motion falls (see `revival`).
    on_change: causal: what happens to the keys and values when the prompt changes. "keep": nothing; "flush":
      only the last chunk's are kept; "recache": all are made anew under the new prompt; "cut": all are
      dropped.
  """

  how: str = "causal"
  given: int = 1
  chunk: int = 1
  window: int = 0
  sinks: int = 0
  sink_decay: float = 1.0
  rope_jitter: float = 0.0
  noise: float = 0.0
  revive: float = 0.0
  on_change: str = "keep"

  def __post_init__(self):
    for name, value, valid in (("how", self.how, KNOWN), ("on_change", self.on_change, ON_CHANGE)):
      if value not in valid:
        raise UserError(f"unknown rollout {name}={value!r}: {nearest(value, valid)}")
    at_least(1, "rollout", given=self.given, chunk=self.chunk)
    at_least(0, "rollout", window=self.window, sinks=self.sinks)
    shares = ("sink_decay", "rope_jitter", "noise", "revive")
    for name, value in ((name, vars(self)[name]) for name in shares):
      if not 0 <= value <= 1:
        raise UserError(f"rollout {name}={value} must lie from 0 to 1.")

  def replaced(self, **overrides) -> "Rollout":
    """These settings with those that are given and not None.

    Raises:
      UserError: a setting that is impossible, or is not the default's and unknown to this way of sampling.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    new = dataclasses.replace(self, **given)
    default = Rollout()
    for name, value in given.items():
      if name != "how" and name not in KNOWN[new.how] and value != vars(default)[name]:
        ways = " or ".join(how for how, known in KNOWN.items() if name in known)
        raise UserError(f"rollout {name}={value!r} does nothing where how={new.how!r}: set how to {ways}.")
    return new
