"""Writes sight and sound as a video file, with PyAV."""

import io
from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np

from stale_jax.clip import Sense
from stale_jax.construct import nearest
from stale_jax.data.decode.mux import mux
from stale_jax.errors import UserError
from stale_jax.files import AnyPath
from stale_jax.media.picture import enlarge, to_bytes
from stale_jax.media.sound import synthesise

_VP9 = {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4"}
# codec -> (container and file ending, (video encoder, its options), audio encoder)
CODECS = {
  "h264": ("mp4", ("libx264", {"crf": "16", "preset": "medium"}), "aac"),
  "vp9": ("webm", ("libvpx-vp9", _VP9), "libopus"),
}


def suffix(codec: str) -> str:
  """The file ending of `codec`, such as ".mp4".

  Raises:
    UserError: there is no such codec.
  """
  if codec not in CODECS:
    raise UserError(f"unknown codec {codec!r}: {nearest(codec, CODECS)}")
  return f".{CODECS[codec][0]}"


def write_video(
  path: AnyPath,
  clip: Mapping[str, np.ndarray],
  senses: Mapping[str, Sense],
  codec: str = "h264",
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes sight [frames, height, width, 3], and sound if the clip has it, to `path`.

  Pixels are repeated until each side has 256 or more. The codec "h264" makes an MP4 (H.264 and AAC), "vp9" a
  WebM (VP9 and Opus).

  Sound and pictures are aligned within a millisecond in players that apply the codec delay, which the file
  states (Opus: 6.5 ms, CodecDelay of Matroska; AAC: 1,024 samples, an edit list). A player that ignores the
  delay plays the sound late by this amount. WebM counts the padding of the last Opus packet in the duration
  of the file, which is therefore longer than the pictures by up to one packet (20 ms).

  Args:
    path: file to write; the codec determines the container and the file ending, see `suffix`.
    clip: sense -> array [frames, ...] in [-1, 1].
    senses: sense -> its description; the rates are in Hz.
    codec: "h264" or "vp9".
    metadata: tags of the file, such as "comment".

  Raises:
    UserError: the codec is unknown or missing from this PyAV, or the clip has no sight.
  """
  suffix(codec)
  if "sight" not in clip:
    raise UserError("cannot write a video: the clip has no image frames (sense 'sight').")
  container, encoder, sound_codec = CODECS[codec]
  # Frames are enlarged one by one: all enlarged frames of a long movie would not fit in memory.
  frames = (enlarge(to_bytes(frame[None]))[0] for frame in clip["sight"])
  size = enlarge(to_bytes(clip["sight"][:1])).shape[1:3]
  rate = Fraction(senses["sight"].rate).limit_denominator(1001)
  wave = synthesise(clip["sound"], senses["sound"]) if "sound" in clip else None
  kinds = {"container": container, "codec": encoder, "sound_codec": sound_codec, "metadata": metadata}
  try:
    mux(path, frames, size, rate, wave, **kinds)
  except av.codec.codec.UnknownCodecError as error:
    raise UserError(f"this PyAV cannot encode {codec} ({error}); choose another codec.") from error


def gif(sight: np.ndarray, rate: float) -> bytes:
  """An animated GIF of pictures [frames, height, width, 3] in [-1, 1], at `rate` frames per second."""
  pictures = to_bytes(sight)
  file = io.BytesIO()
  with av.open(file, "w", format="gif") as container:
    stream = container.add_stream("gif", Fraction(rate).limit_denominator(1001))
    stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "rgb8"
    for picture in pictures:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode())
  return file.getvalue()
