"""Really encoded videos whose every frame is known."""

from fractions import Fraction

import av
import numpy as np

# What is seen in frame k is COLOURS[k % 7], but for the top left quarter, which is white.
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (90, 90, 90))
SMALL = {"preset": "ultrafast", "crf": "8"}
BEST = {"libx264": SMALL, "libx265": {"preset": "fast", "crf": "8", "x265-params": "log-level=none"}}
BEST["libvpx-vp9"] = {"crf": "8", "b": "0", "deadline": "realtime", "cpu-used": "8"}
BEST["mpeg4"] = {"q": "2"}


def colour(frame: int) -> tuple[int, int, int]:
  """What is seen, but for the corner."""
  return COLOURS[frame % len(COLOURS)]


def picture(frame: int, height: int, width: int) -> np.ndarray:
  """That frame, uint8 [height, width, 3]."""
  pixels = np.empty((height, width, 3), np.uint8)
  pixels[:] = colour(frame)
  pixels[: height // 2, : width // 2] = 255
  return pixels


def encode(
  path,
  codec="libx264",
  frames=20,
  rate=10,
  ticks=None,
  height=48,
  width=64,
  pixel_format="yuv420p",
  options=None,
  rotation=0,
  mirrored=False,
  aspect=None,
  tones=(),
  sound_seconds=None,
  sound_codec="aac",
  sound_starts=0.0,
  colours="",
  container_options=None,
  pictures=None,
):
  """Writes `path`; its ending is the container.

  Args:
    ticks: the times of the frames in 1/1000 s, for a variable rate; None: `rate` of them a second.
    tones: of each channel of sound, in Hz; they are .5 loud.
    colours: "said" and "unsaid" are those of high definition (BT.709), and whether the file says so.
    pictures: the frames themselves, in place of `picture`.
  """
  options = {**BEST.get(codec, {}), **(options or {})}
  seconds = sound_seconds or frames / rate
  with av.open(str(path), "w", options=container_options or {}) as file:
    video = file.add_stream(codec, rate=rate, options=options)
    video.height, video.width, video.pix_fmt = height, width, pixel_format
    if rotation or mirrored:
      video.set_display_rotation(rotation, hflip=mirrored)
    if aspect:
      video.sample_aspect_ratio = aspect
    clock = Fraction(1, 1000) if ticks is not None else Fraction(1, rate)
    video.codec_context.time_base = clock
    if colours == "said":
      context = video.codec_context
      context.colorspace = context.color_primaries = context.color_trc = 1
    layout = {1: "mono", 2: "stereo"}.get(len(tones))
    audio = file.add_stream(sound_codec, rate=48_000, layout=layout) if tones else None
    for index in range(frames if pictures is None else len(pictures)):
      pixels = picture(index, height, width) if pictures is None else pictures[index]
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      if colours:
        frame = frame.reformat(format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
      frame.pts, frame.time_base = index if ticks is None else ticks[index], clock
      file.mux(video.encode(frame))
    file.mux(video.encode(None))
    if audio is not None:
      now = np.arange(round(seconds * 48_000)) / 48_000
      wave = np.stack([0.5 * np.sin(2 * np.pi * tone * now) for tone in tones]).astype(np.float32)
      frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
      frame.sample_rate, frame.pts = 48_000, round(sound_starts * 48_000)
      frame.time_base = Fraction(1, 48_000)
      resampler = av.AudioResampler(
        format=audio.format, layout=layout, rate=48_000, frame_size=audio.codec_context.frame_size or 960
      )
      for piece in (*resampler.resample(frame), *resampler.resample(None)):
        file.mux(audio.encode(piece))
      file.mux(audio.encode(None))
  return path
