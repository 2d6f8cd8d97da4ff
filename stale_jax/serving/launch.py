"""Builds a server from a model, and runs it until SIGTERM."""

import asyncio
import contextlib
import functools
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import uvicorn

from stale_jax.checks import check_generates
from stale_jax.errors import UserError
from stale_jax.evaluation.liveliness import change_of
from stale_jax.files import make_folder
from stale_jax.pipeline import Model
from stale_jax.sampling import replaced
from stale_jax.sampling.samplers.stream import StreamRollout
from stale_jax.sampling.stream.schedule import CostTable
from stale_jax.sampling.stream.video import VideoToVideo
from stale_jax.serving.app import build_app
from stale_jax.serving.engine import Engine
from stale_jax.serving.jobs import Jobs
from stale_jax.serving.limits import Limits
from stale_jax.serving.live import Live
from stale_jax.serving.logs import log
from stale_jax.serving.metrics import Metrics
from stale_jax.serving.server import Server
from stale_jax.serving.sources import Sources

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # Numbers of streams that are measured.
# Of the period that a tick may take. The rest is for encoding and sending, and for clients on the same
# machine: with .9, ticks of 16 streams that took .39 s alone took up to .59 s under load.
_SHARE = 0.7
_REAL_CLIPS = 16  # With which the page compares movies.
_MOST_CONNECTIONS = 2000  # Of all clients together.
_MOST_MESSAGE = 1 << 22  # Bytes beyond which the web server closes a WebSocket without a named error.


def bound(host: str, port: int) -> socket.socket:
  """A listening socket; raises UserError if the address cannot be used."""
  try:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family, backlog=512)
  except (OSError, OverflowError) as error:
    reason = error.strerror if isinstance(error, OSError) else "the port must lie from 0 to 65535"
    raise UserError(
      f"cannot listen on {host} port {port}: {reason}. Choose another --port or --host."
    ) from error


def build_server(
  model: Model,
  *,
  folder: Path,
  steps: int = 8,
  guidance: float | None = None,
  most_streams: int = 16,
  limits: Limits | None = None,
  access: str | None = None,
  takes_sources: bool = False,
  sizes: tuple[int, ...] = SIZES,
) -> Server:
  """Compiles and measures the streams of a model, and builds a server of as many as the device can make.

  Args:
    model: a causal model.
    folder: where the videos of jobs are kept.
    steps: number of noise levels.
    guidance: scale of guidance; None: the config's.
    most_streams: largest number of streams, whatever the device can do.
    limits: limits of clients.
    access: access token; None for none.
    takes_sources: whether clients may send pictures for video-to-video.
    sizes: numbers of streams to measure.

  Raises:
    UserError: the model cannot be streamed, or the device is too slow for one stream.
  """
  limits = limits or Limits()
  check_generates(model.system, model.name)
  system, rollout = model.system, model.system.diffusion.rollout
  if model.source is not system.data.source:
    raise UserError(f"{model.name} generates latents, which cannot be streamed.")
  if "sight" not in {sense.name for sense in system.data.senses}:
    raise UserError(f"{model.name} makes no pictures (sense 'sight'), which a server needs.")
  on_change = rollout.on_change if rollout.on_change in ("keep", "cut") else "keep"
  how = replaced(rollout, how="stream", on_change=on_change)
  settings = model.settings(solver="consistency", steps=steps, guidance=guidance)
  programs = StreamRollout.build(how, system).programs(settings)
  engine = Engine(system, model.params, programs, settings.guidance, takes_sources)
  period = programs.chunk / system.data.senses[0].rate
  table = _table(engine, [size for size in sizes if size <= most_streams] or [1], period)
  capacity = min(table.capacity(period, _SHARE), most_streams)
  if capacity < 1:
    raise UserError(
      f"a tick of one stream takes {table.seconds[1]:.2f} s, and its {programs.chunk} frames last {period:g} "
      f"s: this device is too slow. Use fewer --steps than {steps}."
    )
  engine.warm([size for size in table.seconds if size <= table.batch(capacity)])
  log("engine ready", capacity=capacity, period_seconds=period, levels=len(programs.levels))
  metrics = Metrics()
  live = Live(engine, capacity, period, limits, metrics)
  senses = {sense.name: sense for sense in system.data.senses}
  name = "".join(c if c.isascii() and c.isprintable() else "?" for c in Path(model.name).name)
  return Server(
    model=name,
    senses=system.data.senses,
    chunk=programs.chunk,
    depth=len(programs.levels),
    cuts=on_change == "cut",
    prompt_bytes=min(limits.prompt_bytes, system.network.text_length - 1),
    live=live,
    jobs=Jobs(live, senses, name, programs.chunk, folder),
    limits=limits,
    metrics=metrics,
    real_change=_real_change(model),
    access=access,
    sources=functools.partial(Sources, VideoToVideo(), programs.chunk) if takes_sources else None,
  )


def _real_change(model: Model) -> float | None:
  """How much real clips change from frame to frame; None if they do not change or cannot be read here."""
  try:
    clips = [model.source[index]["clip"]["sight"] for index in range(min(len(model.source), _REAL_CLIPS))]
  except UserError:
    return None
  # Clips of a source may have different shapes.
  change = float(np.median([change_of(clip[None]) for clip in clips]))
  return change if change > 0 else None


def _table(engine: Engine, sizes: list[int], period: float) -> CostTable:
  """Measures growing numbers of streams until their tick takes too long."""
  seconds: dict[int, float] = {}
  for size in sizes:
    began = time.monotonic()
    # As in `measure`, a batch never costs less than a smaller one.
    seconds[size] = max([*engine.measure([size]).seconds.values(), *seconds.values()])
    tick, whole = round(seconds[size], 4), round(time.monotonic() - began, 1)
    log("measured", streams=size, tick_seconds=tick, period_seconds=period, compile_seconds=whole)
    if seconds[size] > _SHARE * period:
      break
  return CostTable(seconds)


@contextlib.contextmanager
def job_folder(path: str | None) -> Iterator[Path]:
  """The folder of jobs; without a path a temporary one, which is deleted at the end."""
  if path is not None:
    yield Path(make_folder(path))
    return
  with tempfile.TemporaryDirectory(prefix="stale_jax_videos_") as folder:
    yield Path(folder)


class _Uvicorn(uvicorn.Server):
  """uvicorn without its own handlers of signals, which would end the process with the signal."""

  @contextlib.contextmanager
  def capture_signals(self):
    """Leaves signals to `run`."""
    yield


def run(server: Server, listening: socket.socket) -> None:
  """Serves until SIGTERM or SIGINT; then drains. A second signal ends the server at once."""
  asyncio.run(_run(server, listening))


async def _run(server: Server, listening: socket.socket) -> None:
  config = uvicorn.Config(
    build_app(server),
    log_config=None,
    access_log=False,
    server_header=False,
    ws_max_size=_MOST_MESSAGE,
    limit_concurrency=_MOST_CONNECTIONS,
    timeout_graceful_shutdown=5,
    lifespan="on",
  )
  web, draining = _Uvicorn(config), []

  def stop() -> None:
    if draining:
      web.should_exit = web.force_exit = True
    else:
      draining.append(asyncio.ensure_future(_drain(server, web)))

  for number in (signal.SIGTERM, signal.SIGINT):
    asyncio.get_running_loop().add_signal_handler(number, stop)
  host, port = listening.getsockname()[:2]
  host = f"[{host}]" if ":" in host else host
  log("serving", url=f"http://{host}:{port}/", needs_token=server.access is not None)
  await web.serve(sockets=[listening])
  log("stopped")


async def _drain(server: Server, web: uvicorn.Server) -> None:
  """Admits nothing new, and waits for streams and jobs to finish."""
  seconds = server.limits.drain_seconds
  log("draining", streams=server.live.streams, limit_seconds=seconds)
  server.live.drain()
  end = time.monotonic() + seconds
  while time.monotonic() < end and not (server.live.is_idle and server.jobs.is_idle):
    await asyncio.sleep(0.1)
  await asyncio.sleep(0.2)  # Sessions send their last messages.
  web.should_exit = True
