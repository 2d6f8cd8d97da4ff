"""Sight and sound as a video file, through PyAV."""

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
# codec -> (container, which is the file's ending, encoder of pictures and its options, encoder of sound)
CODECS = {
  "h264": ("mp4", ("libx264", {"crf": "16", "preset": "medium"}), "aac"),
  "vp9": ("webm", ("libvpx-vp9", _VP9), "libopus"),
}


def suffix(codec: str) -> str:
  """The file ending of `codec`; raises UserError if there is no such codec."""
  if codec not in CODECS:
    raise UserError(f"unknown codec {codec!r}: {nearest(codec, CODECS)}")
  return f".{CODECS[codec][0]}"


def write_video(
  path: AnyPath, clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], codec: str = "h264"
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
  container, encoder, sound_codec = CODECS[codec]
  # One by one: a long movie is larger than what it is made of.
  frames = (enlarge(to_bytes(frame[None]))[0] for frame in clip["sight"])
  size = enlarge(to_bytes(clip["sight"][:1])).shape[1:3]
  rate = Fraction(senses["sight"].rate).limit_denominator(1001)
  wave = synthesise(clip["sound"], senses["sound"]) if "sound" in clip else None
  kinds = {"container": container, "codec": encoder, "sound_codec": sound_codec}
  try:
    mux(path, frames, size, rate, wave, **kinds)
  except av.codec.codec.UnknownCodecError as error:
    raise UserError(f"this PyAV cannot encode {codec} ({error}); choose another codec.") from error
