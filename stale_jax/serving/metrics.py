"""Prometheus metrics of the server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0)  # Seconds.


class Metrics:
  """The metrics of one server.

  Attributes:
    registry: what `/metrics` shows, with the memory and the CPU time of the process.
  """

  def __init__(self):
    own = self.registry = CollectorRegistry()
    ProcessCollector(registry=own)
    self.streams = Gauge("stale_streams", "Streams that the engine makes.", registry=own)
    self.capacity = Gauge("stale_capacity", "Streams that the machine can serve in time.", registry=own)
    self.ticks = Counter("stale_ticks", "Ticks of the engine.", registry=own)
    self.tick_seconds = Histogram("stale_tick_seconds", "Duration of a tick.", buckets=_TICKS, registry=own)
    self.chunks = Counter("stale_chunks", "Finished chunks.", registry=own)
    self.misses = Counter("stale_misses", "Chunks that were finished late.", registry=own)
    self.dropped = Counter("stale_dropped_chunks", "Chunks that slow readers lost.", registry=own)
    self.refusals = Counter("stale_refusals", "Refused requests and messages.", ["reason"], registry=own)
    self.jobs = Gauge("stale_jobs", "Jobs by status.", ["status"], registry=own)
