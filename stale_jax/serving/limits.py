"""What one client may use of the server: sizes, rates, numbers of streams, idle time."""

import dataclasses
import time
from collections.abc import Callable

from stale_jax.fields import check_fields, number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """Limits of the server.

  Attributes:
    prompt_bytes: longest prompt, in bytes of UTF-8; the model may read less.
    message_bytes: longest text message of a WebSocket, and body of a request.
    frame_bytes: largest picture that a client sends, in bytes.
    messages_per_second: rate of text messages of one connection, in the long run.
    burst: number of messages that may come at once.
    errors: malformed messages, or messages beyond the rate, after which the connection is closed.
    streams_per_client: streams and waiting jobs that one address may have.
    resume_seconds: time for which a stream without a connection is kept.
    idle_seconds: time after which a connection that sends nothing is closed; pings count.
    backlog: chunks that wait for a slow reader; the oldest are dropped.
    job_seconds: longest video of a job.
    jobs_waiting: jobs that wait or run.
    jobs_kept: finished jobs that are kept; the oldest are deleted.
    drain_seconds: time that streams and jobs have to finish after SIGTERM.
  """

  prompt_bytes: int = number(500, least=1)
  message_bytes: int = number(8192, least=256)
  frame_bytes: int = number(1 << 18, least=1024)
  messages_per_second: float = number(10.0, above=0)
  burst: int = number(30, least=1)
  errors: int = number(30, least=1)
  streams_per_client: int = number(8, least=1)
  resume_seconds: float = number(30.0, least=0)
  idle_seconds: float = number(120.0, above=0)
  backlog: int = number(8, least=1)
  job_seconds: float = number(60.0, above=0)
  jobs_waiting: int = number(16, least=1)
  jobs_kept: int = number(100, least=1)
  drain_seconds: float = number(20.0, least=0)

  def __post_init__(self):
    check_fields(self, "limits")


class TokenBucket:
  """Admits `rate` events per second in the long run, and `burst` at once.

  Args:
    rate: events per second.
    burst: capacity of the bucket.
    clock: seconds, never decreasing.
  """

  def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic):
    self._rate, self._burst, self._clock = rate, burst, clock
    self._level, self._at = float(burst), clock()

  def take(self) -> bool:
    """Whether one more event is admitted now."""
    now = self._clock()
    self._level = min(self._burst, self._level + self._rate * (now - self._at))
    self._at = now
    if self._level < 1:
      return False
    self._level -= 1
    return True
