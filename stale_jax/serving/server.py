"""What the routes of the server share: model, engine, jobs, limits, access."""

import dataclasses
from collections.abc import Callable
from typing import Any

from stale_jax.clip import Sense
from stale_jax.serving.jobs import Jobs
from stale_jax.serving.limits import Limits
from stale_jax.serving.live import Live
from stale_jax.serving.metrics import Metrics
from stale_jax.serving.sources import Sources
from stale_jax.serving.wire import described


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Server:
  """The parts of a server.

  Attributes:
    model: name of the model.
    senses: senses of its movies.
    chunk: frames of a chunk.
    depth: number of noise levels, which is how many ticks a chunk is under way.
    cuts: whether a new prompt starts the movie anew, unless the client says otherwise.
    prompt_bytes: bytes of the longest prompt.
    live, jobs, limits, metrics: see there.
    real_change: mean absolute difference of neighbouring frames of real clips, in [0, 1], with which the page
      compares movies (`evaluation.liveliness.change_of`); None if there are no real clips here.
    access: the access token; None if none is needed.
    sources: seed -> a queue of pictures; None if the server takes none.
  """

  model: str
  senses: tuple[Sense, ...]
  chunk: int
  depth: int
  cuts: bool
  prompt_bytes: int
  live: Live
  jobs: Jobs
  limits: Limits
  metrics: Metrics
  real_change: float | None = None
  access: str | None = None
  sources: Callable[[int], Sources] | None = None

  @property
  def rate(self) -> float:
    """Frames per second."""
    return self.senses[0].rate

  @property
  def video_size(self) -> str:
    """Width and height of the videos of jobs, whose pixels are repeated (`media.picture.enlarge`)."""
    height, width = next(sense.shape for sense in self.senses if sense.name == "sight")[:2]
    times = max(1, -(-256 // min(height, width)))
    return f"{width * times + width * times % 2}x{height * times + height * times % 2}"

  def about(self) -> dict[str, Any]:
    """What a client needs to know about the streams."""
    limits = self.limits
    return {
      "model": self.model,
      "generated": True,
      "generated_by": f"stale_jax, model {self.model}",
      "senses": described(self.senses),
      "rate": self.rate,
      "chunk": self.chunk,
      "delay_seconds": self.live.period * self.depth,
      "real_change": self.real_change,
      "takes_source": self.sources is not None,
      "needs_access": self.access is not None,
      "limits": {
        "prompt_bytes": self.prompt_bytes,
        "frame_bytes": limits.frame_bytes,
        "messages_per_second": limits.messages_per_second,
        "resume_seconds": limits.resume_seconds,
        "idle_seconds": limits.idle_seconds,
      },
    }

  def health(self) -> dict[str, Any]:
    """The state of the server; "ok" only if it admits streams."""
    live = self.live
    status = "failed" if live.has_failed else "draining" if live.is_draining else "ok"
    return {
      "status": status,
      "model": self.model,
      "streams": live.streams,
      "capacity": live.capacity,
      "period_seconds": live.period,
    }
