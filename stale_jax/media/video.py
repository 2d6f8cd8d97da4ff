"""Sight and sound as a video file, through PyAV."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stale_jax.clip import Sense
from stale_jax.config import nearest
from stale_jax.errors import UserError
from stale_jax.media.picture import enlarge, to_bytes
from stale_jax.media.sound import RATE, synthesise

# codec -> (suffix, video encoder and options, audio encoder)
CODECS = {
  "h264": (".mp4", "libx264", {"crf": "16", "preset": "medium"}, "aac"),
  "vp9": (".webm", "libvpx-vp9", {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4"}, "libopus"),
}
_BT709 = 1  # ISO/IEC 23091-2, for matrix, primaries and transfer alike.


def suffix(codec: str) -> str:
  """The file ending of `codec`; raises UserError if there is no such codec."""
  if codec not in CODECS:
    raise UserError(f"unknown codec {codec!r}: {nearest(codec, CODECS)}")
  return CODECS[codec][0]


def write_video(
  path: Path, clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], codec: str = "h264"
) -> None:
  """Writes sight [frames, height, width, 3], and sound if there is any, to `path`.

  Small pictures are enlarged to 256 pixels or more by repeating theirs. "h264" is MP4 (H.264
  and AAC), "vp9" WebM (VP9 and Opus). The sound is as long as the picture, to a millisecond.

  Raises:
    UserError: an unknown codec, or a clip without sight.
  """
  suffix(codec)
  if "sight" not in clip:
    raise UserError("a video needs sight; this movie has none.")
  _, video_codec, options, audio_codec = CODECS[codec]
  frames = enlarge(to_bytes(clip["sight"]))
  container_options = {"movflags": "+faststart"} if codec == "h264" else {}
  with av.open(str(path), "w", options=container_options) as file:
    rate = Fraction(senses["sight"].rate).limit_denominator(1001)
    try:
      video = file.add_stream(video_codec, rate=rate, options=options)
      audio = file.add_stream(audio_codec, rate=RATE, layout="mono") if "sound" in clip else None
    except av.codec.codec.UnknownCodecError as error:
      raise UserError(f"this PyAV cannot encode {codec} ({error}); choose another codec.") from error
    video.height, video.width, video.pix_fmt = *frames.shape[1:3], "yuv420p"
    # Said in the file, since players guess differently where it is not.
    context = video.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    for index, pixels in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
      frame.pts, frame.time_base = index, 1 / rate
      file.mux(video.encode(frame))
    file.mux(video.encode(None))
    if audio is not None:
      wave = synthesise(clip["sound"], senses["sound"])
      frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), format="flt", layout="mono")
      frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
      resampler = av.AudioResampler(
        format=audio.format, layout="mono", rate=RATE, frame_size=audio.codec_context.frame_size or 960
      )
      for piece in (*resampler.resample(frame), *resampler.resample(None)):
        file.mux(audio.encode(piece))
      file.mux(audio.encode(None))
