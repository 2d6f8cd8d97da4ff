"""Videos that are made in the background: a queue of jobs, and a folder with their results.

A job is a stream of a fixed number of chunks in the batch that the live streams share, so that it needs no
program of its own and delays nobody. While nobody watches live, jobs run as fast as the device. A job that
has to make room for a client returns to the head of the queue.

Each job has a folder with job.json and, when it is complete, video.mp4. Jobs that waited or ran when the
server stopped wait again when a server starts with the same folder.
"""

import contextlib
import dataclasses
import json
import math
import os
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stale_jax.clip import Sense
from stale_jax.files import write_whole
from stale_jax.media.video import write_video
from stale_jax.serving.live import Live
from stale_jax.serving.logs import log, log_failure
from stale_jax.serving.outbox import Chunk
from stale_jax.serving.refusal import RefusalError
from stale_jax.serving.stream import Stream

_POLL = 0.2  # Seconds between two looks for room.
_LOW = 10  # Niceness of the thread that encodes videos.


@dataclasses.dataclass(kw_only=True)
class Job:
  """A video to be made, in the terms of OpenAI's `/v1/videos`.

  Attributes:
    id, prompt, seed, seconds, size, model, client: what was asked, and by whom.
    frames: number of frames of the video.
    status: "queued", "in_progress", "completed" or "failed".
    progress: per cent.
    created_at, completed_at: seconds since 1970.
    error: why it has failed.
  """

  id: str
  prompt: str
  seed: int
  seconds: str
  size: str
  model: str
  client: str
  frames: int
  status: str = "queued"
  progress: int = 0
  created_at: int = 0
  completed_at: int | None = None
  error: str | None = None

  def public(self) -> dict[str, Any]:
    """The object that clients get."""
    hidden = ("client", "frames", "error")
    error = self.error and {"code": "generation_failed", "message": self.error}
    own = {name: value for name, value in dataclasses.asdict(self).items() if name not in hidden}
    return {"object": "video", **own, "error": error, "generated": True}


class Collector:
  """Collects the chunks of a job; see `outbox.Receiver`."""

  def __init__(self, jobs: "Jobs", job: Job, chunks: int):
    self._jobs, self._job, self._count = jobs, job, chunks
    self.chunks: list[dict[str, np.ndarray]] = []

  def put(self, chunk: Chunk) -> None:
    """See `outbox.Receiver`."""
    self.chunks.append(chunk.clip)
    self._job.progress = min(99, 100 * len(self.chunks) // self._count)

  def end(self, code: str) -> None:
    """See `outbox.Receiver`."""
    self._jobs.ended(self._job, self.chunks, code)


class Jobs:
  """The queue and the results.

  Args:
    live: the engine's thread.
    senses: senses of the videos, with the frame rate.
    model: name of the model.
    chunk: frames of a chunk.
    folder: where jobs are kept.
  """

  def __init__(self, live: Live, senses: Mapping[str, Sense], model: str, chunk: int, folder: Path):
    self.model, self.folder, self.senses = model, folder, senses
    self._live, self._chunk = live, chunk
    self._rate = next(iter(senses.values())).rate
    self._lock, self._wake = threading.Lock(), threading.Event()
    self._jobs: dict[str, Job] = {}
    self._running: dict[str, Stream] = {}  # Job -> its stream.
    self._ended: queue.SimpleQueue = queue.SimpleQueue()
    self._is_stopping = False
    self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*/job.json")):
      with contextlib.suppress(ValueError, TypeError, OSError):  # Of another version, or damaged.
        job = Job(**json.loads(path.read_text(encoding="utf-8")))
        job.status = "queued" if job.status == "in_progress" else job.status
        self._jobs[job.id] = job
    self._jobs = dict(sorted(self._jobs.items(), key=lambda item: item[1].created_at))

  def start(self) -> None:
    """Starts the thread."""
    self._thread.start()

  def stop(self) -> None:
    """Ends the thread; jobs that are not complete wait for another server."""
    with self._lock:
      self._is_stopping = True
    self._wake.set()
    self._thread.join(timeout=60)

  def create(self, prompt: str, seed: int | None, seconds: float, size: str, client: str) -> Job:
    """Adds a job to the queue and returns it as it was then: queued, even if it starts right away.

    Raises:
      RefusalError: there are too many jobs, or the server is about to stop.
    """
    limits = self._live.limits
    with self._lock:
      unfinished = [job for job in self._jobs.values() if job.status in ("queued", "in_progress")]
      if self._live.is_draining or self._is_stopping:
        raise RefusalError("draining", "the server is about to stop; try another one.", retry_after=10)
      if sum(job.client == client for job in unfinished) >= limits.streams_per_client:
        raise RefusalError(
          "too_many_streams",
          f"a client may have {limits.streams_per_client} unfinished videos.",
          retry_after=10,
        )
      if len(unfinished) >= limits.jobs_waiting:
        raise RefusalError("full", f"{limits.jobs_waiting} videos wait already.", retry_after=30)
      job = Job(
        id=f"video_{secrets.token_hex(12)}",
        prompt=prompt,
        seed=secrets.randbelow(2**32) if seed is None else seed,
        seconds=f"{seconds:g}",
        size=size,
        model=self.model,
        client=client,
        frames=math.ceil(seconds * self._rate - 1e-9),
        created_at=int(time.time()),
      )
      self._jobs[job.id] = job
      self._save(job)
      created = dataclasses.replace(job)
    self._wake.set()
    log("video created", video=job.id, seconds=job.seconds)
    return created

  def find(self, name: str) -> Job:
    """The job `name`; raises RefusalError if there is none."""
    with self._lock:
      if name not in self._jobs:
        raise RefusalError("no_such_video", f"there is no video {name[:60]!r}.", param="video_id")
      return self._jobs[name]

  def all(self) -> list[Job]:
    """All jobs, the oldest first."""
    with self._lock:
      return list(self._jobs.values())

  def video(self, name: str) -> Path:
    """The file of a finished video; raises RefusalError if it is not complete."""
    job = self.find(name)
    if job.status != "completed":
      raise RefusalError(
        "not_ready", f"the video is {job.status}; wait until it is completed.", retry_after=1
      )
    return self.folder / name / "video.mp4"

  def delete(self, name: str) -> None:
    """Deletes a job and its files; if it is being made, that ends."""
    self.find(name)
    with self._lock:
      self._jobs.pop(name, None)
      stream = self._running.get(name)
      shutil.rmtree(self.folder / name, ignore_errors=True)
    if stream is not None:
      self._live.close(stream)
    log("video deleted", video=name)

  def ended(self, job: Job, chunks: list[dict[str, np.ndarray]], code: str) -> None:
    """Takes the result of a stream; the engine's thread calls this with its lock, so no lock is taken."""
    self._ended.put((job, chunks, code))
    self._wake.set()

  @property
  def is_idle(self) -> bool:
    """Whether no job runs or is being written."""
    with self._lock:
      return not any(job.status == "in_progress" for job in self._jobs.values())

  def _run(self) -> None:
    """The thread."""
    with contextlib.suppress(OSError):  # Encoding yields to the engine.
      os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW)
    is_waiting = True
    while not (self._is_stopping and self._ended.empty()):
      self._wake.wait(_POLL if is_waiting else None)
      self._wake.clear()
      while not self._ended.empty():
        self._take(*self._ended.get())
      is_waiting = not self._is_stopping and self._begin()
      self._count()

  def _take(self, job: Job, chunks: list[dict[str, np.ndarray]], code: str) -> None:
    """Handles the end of the stream of a job."""
    with self._lock:
      self._running.pop(job.id, None)
      if code == "engine_failed":
        job.status, job.error = "failed", "the engine has stopped after an internal error."
      elif code != "done":
        job.status, job.progress = "queued", 0
    if code == "done":
      self._write(job, chunks)

  def _begin(self) -> bool:
    """Starts waiting jobs while there is room, the oldest first; returns whether some still wait."""
    with self._lock:
      waiting = [job for job in self._jobs.values() if job.status == "queued"]
      for job in waiting:
        chunks = -(-job.frames // self._chunk)
        collector = Collector(self, job, chunks)
        stream = self._live.open_job(job.prompt, job.seed, chunks, job.client, collector)
        if stream is None:
          return True
        job.status, self._running[job.id] = "in_progress", stream
      return False

  def _write(self, job: Job, chunks: list[dict[str, np.ndarray]]) -> None:
    """Writes the video of a job."""
    clip = {name: np.concatenate([chunk[name] for chunk in chunks])[: job.frames] for name in chunks[0]}
    folder = self.folder / job.id
    tags = {"comment": f"generated by stale_jax, model {self.model}", "title": job.prompt}
    try:
      if job.id in self._jobs:
        folder.mkdir(exist_ok=True)
        write_video(folder / "partial.mp4", clip, self.senses, metadata=tags)
        os.replace(folder / "partial.mp4", folder / "video.mp4")
      job.status, job.progress, job.completed_at = "completed", 100, int(time.time())
      log("video completed", video=job.id)
    except Exception as error:  # Of the encoder or the disk; the other jobs go on.
      log_failure("video failed", video=job.id)
      job.status, job.error = "failed", f"the video could not be written: {str(error)[:200]}"
    with self._lock:
      if job.id in self._jobs:
        self._save(job)
      else:  # Deleted in the meantime.
        shutil.rmtree(folder, ignore_errors=True)
      finished = [name for name, each in self._jobs.items() if each.status in ("completed", "failed")]
      for name in finished[: -self._live.limits.jobs_kept]:
        self._jobs.pop(name)
        shutil.rmtree(self.folder / name, ignore_errors=True)

  def _save(self, job: Job) -> None:
    folder = self.folder / job.id
    folder.mkdir(exist_ok=True)
    write_whole(folder / "job.json", json.dumps(dataclasses.asdict(job), ensure_ascii=False) + "\n")

  def _count(self) -> None:
    """Updates the metrics."""
    with self._lock:
      statuses = [job.status for job in self._jobs.values()]
    for status in ("queued", "in_progress", "completed", "failed"):
      self._live.metrics.jobs.labels(status).set(statuses.count(status))
