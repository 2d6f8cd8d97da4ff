"""Settings of movies that are longer than the training clips."""

import dataclasses

from stale_jax.fields import check_fields, choice, number

ON_CHANGE = ("keep", "flush", "recache", "cut")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
  """How movies are made, and remedies for the loss of quality in long movies; each remedy is off by default.

  Attributes:
    how: "causal": a few frames at a time, with a KV cache of the frames before them. "stream": the same, with
      consecutive chunks at different noise levels in one batch (`sampling.stream`). "windows": whole clips,
      each starting with the last frames of the previous clip. "artv": frame by frame, conditioned on the
      first frame and the two previous ones (`objectives.artv`). "all_frames": all frames of a movie together,
      for movies of any length.
    conditioning_frames: (windows) number of last frames with which the next window starts.
    chunk: (causal, stream) number of frames made together.
    window: (causal, stream) largest number of frames that attention sees, including those being made; 0 for
      the length of a training clip.
    sinks: (causal, stream) number of first frames of the movie that always stay in the cache.
    sink_decay: (causal) decay of a moving average in the sinks (EMA sinks): when frames are evicted, keys and
      values of a sink become sink_decay * sink + (1 - sink_decay) * mean of the evicted frames. 1 leaves the
      sinks unchanged.
    rope_jitter: (causal) relative spread of the base theta of the temporal rotary embedding between heads:
      each head has theta (1 + rope_jitter U(-1, 1)). 0: the same theta in all heads.
    noise: (causal, windows, artv) time to which past frames are noised before they condition new ones: the
      conditioning frames of a window or frame, and the frames in the KV cache.
    revive: (causal) largest increase of `noise` when motion is lost, up to a noise of 1 (see `revival`).
    on_change: (causal, stream) what happens to the KV cache when the prompt changes. "keep": nothing; "cut":
      the cache is emptied; (causal) "flush": only the last chunk is kept; "recache": all keys and values are
      recomputed with the new prompt.
    refresh: (stream) a sink is replaced by a new frame if its keys and values are less similar to the frame's
      than this cosine; -1: never.
    negative: (stream) when the network is evaluated without the caption, for guidance. "always": in all
      steps, as in classifier-free guidance; "once": in the first step of a chunk, for residual guidance
      (StreamDiffusion, arXiv 2312.12491).
  """

  how: str = "causal"  # A key of `SAMPLERS`; checked when the sampler is built.
  conditioning_frames: int = number(1, least=1)
  chunk: int = number(1, least=1)
  window: int = number(0, least=0)
  sinks: int = number(0, least=0)
  sink_decay: float = number(1.0, least=0, most=1)
  rope_jitter: float = number(0.0, least=0, most=1)
  noise: float = number(0.0, least=0, most=1)
  revive: float = number(0.0, least=0, most=1)
  on_change: str = choice("keep", ON_CHANGE)
  refresh: float = number(-1.0, least=-1, most=1)
  negative: str = choice("always", ("always", "once"))

  def __post_init__(self):
    check_fields(self, "rollout")
