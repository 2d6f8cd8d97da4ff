"""Decodes the frames of an opened video in presentation order, past empty and broken packets."""

import collections
import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import av


class Clock:
  """Converts between the time stamps of a stream and seconds.

  Attributes:
    origin: time stamp of the first picture, in ticks.
    tick: duration of a tick, in seconds.
    zero: time of the first picture, in seconds on the container's time axis.
    early: how many seconds before its time stamp a picture may be shown: half a tick, at most a millisecond.
      Files round time stamps to ticks, so the stamp may lie a little after the exact time.
  """

  def __init__(self, container, stream):
    """Moves the container's position to the beginning if the first picture has to be decoded."""
    self.origin, self.tick = stream.start_time or 0, float(stream.time_base)
    # AVI states no start. It is not 0 if pictures are stored in another order than they are shown.
    if container.format.name == "avi":
      self.rewind(container, stream)
      starts = (part.start for part in decode(container, stream) if part.frame is not None)
      self.origin = round(next(starts, 0.0) / self.tick)
      self.rewind(container, stream)
    self.zero, self.early = self.origin * self.tick, min(self.tick / 2, 1e-3)

  def rewind(self, container, stream) -> None:
    """Moves the container's position to the beginning. Raises av.FFmpegError if it cannot be moved."""
    try:
      # The first packet may come in decoding order before the picture at `origin`.
      container.seek(self.ticks(-10.0), stream=stream)
    except av.FFmpegError:
      container.seek(stream.start_time or 0, stream=stream)

  def ticks(self, seconds: float) -> int:
    """The time stamp at `seconds` from the start of the stream, in ticks, rounded down."""
    return self.origin + math.floor(seconds / self.tick + 1e-6)


class Part(NamedTuple):
  """A packet, or a frame decoded from the packets before it.

  Attributes:
    frame: the frame; None for a packet, which may repeat the previous picture, and for a broken frame.
    start, end: its time, in seconds on the container's time axis.
    broken: whether the packet or the frame is damaged.
  """

  frame: av.VideoFrame | av.AudioFrame | None
  start: float
  end: float
  broken: bool


def packets(container, stream=None, sought: bool = False) -> Iterator[av.Packet]:
  """Reads packets from the container's current position, of one stream or all. Time stamps are right.

  Args:
    container: the container.
    stream: the stream; None for all.
    sought: whether the position was reached by seeking. In an MPEG program stream, FFmpeg then gives the time
      stamp of the first frame to the rest of the frame before it. Packets up to the next stamp are left out.
  """
  found = container.demux() if stream is None else container.demux(stream)
  if not sought or container.format.name != "mpeg":
    yield from found
    return
  stamps = collections.Counter()  # Index of a stream -> number of its packets that have a stamp of their own.
  for packet in found:
    stamps[packet.stream.index] += packet.pos is not None
    if stamps[packet.stream.index] > 1:
      yield packet


def decode(container, stream, sought: bool = False) -> Iterator[Part]:
  """Decodes a stream from the container's current position, frames in presentation order.

  Like a player, it goes on after a packet that cannot be decoded. Codecs repeat a picture by an empty packet,
  which FFmpeg's decoders would take for the end of the stream.

  Args:
    container, stream, sought: see `packets`.
  """
  decoder = _decoder(stream)
  if not decoder.is_open:
    # By default FFmpeg starts several threads, which wait for one another.
    decoder.thread_type, decoder.thread_count = "NONE", 1
  tick, end, lost = float(stream.time_base), 0.0, math.inf

  def span(what: av.Packet | av.VideoFrame | av.AudioFrame) -> tuple[float, float]:
    nonlocal end
    stamp = what.dts if what.pts is None else what.pts
    start = end if stamp is None else stamp * tick
    end = start + (what.duration or 0) * tick
    return start, end

  def checked(frames) -> Iterator[Part]:
    nonlocal lost
    for frame in frames:
      start, end = span(frame)
      if frame.key_frame and start > lost:
        lost = math.inf
      # Frames that follow a broken key frame are predicted from it.
      whole = not frame.is_corrupt and start < lost
      yield Part(frame if whole else None, start, end, broken=not whole)

  for packet in packets(container, stream, sought):
    if packet.size == 0 and packet.dts is None and packet.pts is None:
      continue  # The end.
    start, end = span(packet)
    frames, broken = (), packet.is_corrupt
    if packet.size and not broken:
      try:
        frames = decoder.decode(packet)
      except av.error.MemoryError:
        raise
      except av.FFmpegError:
        broken = True
    if broken and packet.is_keyframe:
      lost = start
    yield Part(None, start, end, broken)
    yield from checked(frames)
  with contextlib.suppress(av.FFmpegError):
    yield from checked(decoder.decode(None))


def _decoder(stream) -> av.CodecContext:
  """The decoder of a stream. FFmpeg's own decoders of VP8 and VP9 ignore transparency; libvpx does not."""
  libvpx = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
  if libvpx and stream.metadata.get("alpha_mode") == "1":
    decoder = av.CodecContext.create(libvpx, "r")
    decoder.options = stream.codec_context.options
    return decoder
  return stream.codec_context
