"""The settings of movies longer than the clips of training."""

import dataclasses

from stale_jax.fields import check_fields, choice, number

ON_CHANGE = ("keep", "flush", "recache", "cut")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
  """How movies are made, and what keeps long ones alive; each remedy is off by default.

  Attributes:
    how: "causal": a few frames at a time after the keys and values of the frames before them. "windows":
      whole clips, each of which begins with the last frames of the clip before. "artv": frame by frame, after
      the first frame and the two before (`objectives.artv`). "all_frames": all frames of a movie together, at
      any length.
    conditioning_frames: windows: how many of its last frames the next window starts from.
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

  how: str = "causal"  # A key of `SAMPLERS`; checked where the sampler is built.
  conditioning_frames: int = number(1, least=1)
  chunk: int = number(1, least=1)
  window: int = number(0, least=0)
  sinks: int = number(0, least=0)
  sink_decay: float = number(1.0, least=0, most=1)
  rope_jitter: float = number(0.0, least=0, most=1)
  noise: float = number(0.0, least=0, most=1)
  revive: float = number(0.0, least=0, most=1)
  on_change: str = choice("keep", ON_CHANGE)

  def __post_init__(self):
    check_fields(self, "rollout")
