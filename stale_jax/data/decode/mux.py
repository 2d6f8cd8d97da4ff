"""Pictures and a wave as a video file, through PyAV."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8

_BT709 = 1  # ISO/IEC 23091-2, for matrix, primaries and transfer alike.
_SAMPLES = 960  # A frame of sound, where its code takes any: 20 ms.
SOUND_RATE = 48_000


def mux(
  path: str | Path,
  pictures: Iterable[UInt8[np.ndarray, "height width 3"]],
  size: tuple[int, int],
  rate: Fraction,
  wave: Float[np.ndarray, "samples"] | None = None,
  *,
  container: str,
  codec: tuple[str, Mapping[str, str]],
  sound_codec: str,
) -> None:
  """Writes the pictures, and the wave if there is one.

  Args:
    pictures: taken as they are encoded.
    size: their height and width, even.
    rate: pictures a second.
    wave: mono, SOUND_RATE samples a second, in [-1, 1].
    container: "mp4" or "webm".
    codec: FFmpeg's encoder of the pictures, and its options.
    sound_codec: FFmpeg's encoder of the sound.

  Raises:
    av.codec.codec.UnknownCodecError: an encoder that this FFmpeg lacks.
  """
  options = {"movflags": "+faststart"} if container == "mp4" else {}
  with av.open(str(path), "w", format=container, options=options) as file:
    video = file.add_stream(codec[0], rate=rate, options=dict(codec[1]))
    audio = None if wave is None else file.add_stream(sound_codec, rate=SOUND_RATE, layout="mono")
    video.height, video.width = size
    video.pix_fmt = "yuv420p"
    # Said in the file, since players guess differently where it is not.
    context = video.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    for index, pixels in enumerate(pictures):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
      frame.pts, frame.time_base = index, 1 / rate
      file.mux(video.encode(frame))
    file.mux(video.encode(None))
    if audio is not None:
      frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), format="flt", layout="mono")
      frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
      resampler = av.AudioResampler(
        format=audio.format,
        layout="mono",
        rate=SOUND_RATE,
        frame_size=audio.codec_context.frame_size or _SAMPLES,
      )
      for piece in (*resampler.resample(frame), *resampler.resample(None)):
        file.mux(audio.encode(piece))
      file.mux(audio.encode(None))
