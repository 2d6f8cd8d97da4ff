"""Writes files that are no videos, or damaged ones: ten kinds, each drawn from a seed."""

import io
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stale_jax.testing import scenes


def _encoded(frames: np.ndarray, **options) -> list[bytes]:
  """H.264 packets of `frames` [n, height, width, 3]."""
  codec = av.CodecContext.create("libx264", "w")
  codec.height, codec.width, codec.pix_fmt = *frames.shape[1:3], "yuv420p"
  codec.time_base = Fraction(1, scenes.RATE)
  codec.thread_count = 1
  codec.options = {"preset": "ultrafast", "bf": "0", "g": "1000", **options}
  packets = []
  for i, picture in enumerate(frames):
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = i, codec.time_base
    packets += codec.encode(frame)
  return [bytes(packet) for packet in packets + codec.encode(None)]


def _muxed(packets: list[bytes], times: list[int], height: int, width: int, format: str) -> bytes:
  out = io.BytesIO()
  with av.open(out, "w", format=format) as file:
    stream = file.add_stream("libx264", rate=scenes.RATE)
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.codec_context.thread_count = 1
    for data, time in zip(packets, times, strict=True):
      packet = av.Packet(data)
      packet.stream, packet.pts, packet.dts, packet.time_base = stream, time, time, Fraction(1, scenes.RATE)
      packet.is_keyframe = data is packets[0]
      file.mux(packet)
  return out.getvalue()


def bombs() -> dict[str, bytes]:
  """Small files with a very large frame, duration or number of frames: kind -> bytes of the file."""
  large = _encoded(np.zeros((1, 4400, 8192, 3), np.uint8))
  black = _encoded(np.zeros((2, 2160, 3840, 3), np.uint8))
  small = _encoded(np.zeros((2, 64, 64, 3), np.uint8))
  many, hours = 20_000, 10 * 3600 * scenes.RATE
  _, png = cv2.imencode(".png", np.zeros((12_000, 12_000), np.uint8))
  return {
    "pixels": _muxed(large, [0], 4400, 8192, "mp4"),
    "hours": _muxed(small, [0, hours], 64, 64, "matroska"),
    "pictures": _muxed([black[0], *[black[1]] * many], list(range(many + 1)), 2160, 3840, "mp4"),
    "picture": png.tobytes(),
  }


def kinds(video: bytes, rng: np.random.Generator) -> dict[str, Callable[[], bytes]]:
  """Kind of faulty file -> function that returns the bytes of a random file of this kind.

  Args:
    video: a video file whose index is at its end, so that a truncated copy cannot be decoded.
    rng: draws the contents.
  """
  zipped = io.BytesIO()
  with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
    file.writestr("zeros", bytes(1 << 20))
  _, jpeg = cv2.imencode(".jpg", rng.integers(0, 256, (64, 64, 3), np.uint8))
  exploding = bombs()
  return {
    "empty": lambda: b"",
    "zeros": lambda: bytes(int(rng.integers(1, 20_000))),
    "random": lambda: rng.bytes(int(rng.integers(1, 20_000))),
    "begins_right": lambda: video[:32] + rng.bytes(int(rng.integers(1, 20_000))),
    "truncated": lambda: video[: int(rng.integers(64, int(0.9 * len(video))))],
    "text": lambda: b"this is no video " * int(rng.integers(1, 100)),
    "jpeg": lambda: jpeg.tobytes(),
    "zip": lambda: zipped.getvalue(),
    "playlist": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "bomb": lambda: exploding[str(rng.choice(list(exploding)))],
  }


def plant_corrupt(root: Path, number: int, video: bytes, seed: int) -> dict[str, str]:
  """Writes `number` faulty files below `root`, 100 per folder. Returns path relative to `root` -> kind."""
  rng, truth = np.random.default_rng(seed), {}
  made = kinds(video, rng)
  for i in range(number):
    kind = list(made)[i % len(made)]
    path = root / f"bad{i // 100:03}" / f"{i:05}.{rng.choice(['mp4', 'mkv', 'webm', 'mov'])}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(made[kind]())
    truth[str(path.relative_to(root))] = kind
  return truth


def pollute(root: Path, originals: int, seed: int) -> None:
  """Fills a folder with videos and faulty files, mixed as in real folders.

  For every four of the `originals`, which are videos of four scenes each, one of them faulty, there are one
  changed copy, one black video, and one video of a single photograph, drawing or text. A fifth as many files
  as originals are no videos.

  Args:
    root: folder to create.
    originals: number of original videos.
    seed: seed of all random draws.
  """
  root.mkdir(parents=True)
  scenes.plant(root, originals, originals // 4, seed)
  rng = np.random.default_rng([seed, 1])
  for i in range(originals // 4):
    seconds = float(rng.uniform(2, 6))
    scenes.write(root / f"black{i:03}.mp4", np.zeros((round(seconds * scenes.RATE), 180, 320, 3), np.uint8))
    kind = ("static", "slide", "text", "credits")[i % 4]
    still = scenes.scene(kind, seconds, int(seed * 10_000 + 5_000 + i))
    scenes.write(root / f"still{i:03}.mp4", still)
  plant_corrupt(root, originals // 5, (root / "000.mp4").read_bytes(), seed)
