"""Writes pictures and sound to a video file with PyAV."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8

_BT709 = 1  # Code of BT.709 in ISO/IEC 23091-2, the same for matrix, primaries and transfer.
_SAMPLES = 960  # Samples per sound frame (20 ms), if the codec does not prescribe a number.
SOUND_RATE = 48_000  # Samples per second.


def mux(
  path: str | Path,
  pictures: Iterable[UInt8[np.ndarray, "height width 3"]],
  size: tuple[int, int],
  rate: Fraction,
  wave: Float[np.ndarray, "samples *ears"] | None = None,
  *,
  container: str,
  codec: tuple[str, Mapping[str, str]],
  sound_codec: str,
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes a video file.

  Args:
    path: the file to write.
    pictures: RGB pictures. The iterable is consumed one picture at a time.
    size: (height, width) of the pictures, both even.
    rate: pictures per second.
    wave: mono sound [samples] or stereo sound [samples, (left, right)], in [-1, 1], SOUND_RATE samples per
      second; None for no sound track.
    container: "mp4" or "webm".
    codec: name of FFmpeg's video encoder, and its options.
    sound_codec: name of FFmpeg's audio encoder.
    metadata: tags of the file, such as "comment".

  Raises:
    av.codec.codec.UnknownCodecError: this FFmpeg lacks one of the encoders.
  """
  layout = "mono" if wave is None or wave.ndim == 1 else "stereo"
  options = {"movflags": "+faststart"} if container == "mp4" else {}
  with av.open(str(path), "w", format=container, options=options) as file:
    file.metadata.update(metadata or {})
    video = file.add_stream(codec[0], rate=rate, options=dict(codec[1]))
    audio = None if wave is None else file.add_stream(sound_codec, rate=SOUND_RATE, layout=layout)
    video.height, video.width = size
    video.pix_fmt = "yuv420p"
    # State the colour space: players guess differently if the file does not.
    context = video.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    for index, pixels in enumerate(pictures):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
      frame.pts, frame.time_base = index, 1 / rate
      file.mux(video.encode(frame))
    file.mux(video.encode(None))
    if audio is not None:
      frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="flt", layout=layout)
      frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
      resampler = av.AudioResampler(
        format=audio.format,
        layout=layout,
        rate=SOUND_RATE,
        frame_size=audio.codec_context.frame_size or _SAMPLES,
      )
      for piece in (*resampler.resample(frame), *resampler.resample(None)):
        file.mux(audio.encode(piece))
      file.mux(audio.encode(None))
