"""One stream as the engine's thread sees it."""

import collections
import dataclasses

from stale_jax.serving.engine import Row
from stale_jax.serving.outbox import Receiver
from stale_jax.serving.sources import Sources


@dataclasses.dataclass(eq=False, kw_only=True)
class Stream:
  """A stream of chunks.

  Attributes:
    id: its public name.
    token: the secret with which a client resumes it.
    client: who has opened it.
    seed: seed of its noise.
    prompt: prompt of the next chunk that enters.
    receiver: what takes its chunks.
    cut: whether the next chunk starts anew.
    sources: pictures of video-to-video; None for text-to-video.
    last: number of chunks after which it ends; None: it does not end by itself.
    is_job: whether it may be interrupted and made again later.
    entered: number of chunks that have entered.
    emitted: number of chunks that have left.
    ticks: number of ticks that it has taken part in, alone or with the others.
    is_seated: whether it is in the batch of all streams.
    left_at: when its connection was lost; None while it is connected.
  """

  id: str
  token: str
  client: str
  seed: int
  prompt: str
  receiver: Receiver
  cut: bool = False
  sources: Sources | None = None
  last: int | None = None
  is_job: bool = False
  entered: int = 0
  emitted: int = 0
  ticks: int = 0
  is_seated: bool = False
  left_at: float | None = None

  def __post_init__(self):
    self._prompts: collections.deque[str] = collections.deque()  # Of the chunks in flight.

  def row(self) -> Row:
    """What the stream does in the next tick."""
    self.ticks += 1
    row = Row(prompt=self.prompt, seed=self.seed, enters=self.last is None or self.entered < self.last)
    if row.enters and self.sources is not None:
      row = dataclasses.replace(row, **self.sources.next())
    if not row.enters:
      return row
    row = dataclasses.replace(row, begins=self.cut)
    self.entered, self.cut = self.entered + 1, False
    self._prompts.append(self.prompt)
    return row

  def left(self) -> str:
    """The prompt of the chunk that has just left."""
    self.emitted += 1
    return self._prompts.popleft()

  @property
  def is_watched(self) -> bool:
    """Whether a client has chunks of it, and waits for more."""
    return not self.is_job and self.emitted > 0

  @property
  def is_over(self) -> bool:
    """Whether all its chunks have left."""
    return self.last is not None and self.emitted >= self.last
