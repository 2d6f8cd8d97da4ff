"""Converts decoded pictures to RGB as a player displays them, and scales and crops them to a given size.

Rotation, mirroring and non-square pixels are taken into account. Transparent parts are shown on black.
Pictures of high dynamic range or wide gamut are converted to BT.709 (`data.decode.colour`).
"""

from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from jaxtyping import UInt8

from stale_jax.data.decode.colour import is_ordinary, to_bt709
from stale_jax.data.decode.container import MAX_PIXELS, File, Unreadable, name_of

_UNSPECIFIED = 2  # ISO/IEC 23091-2: the file does not state its matrix coefficients.
_EXIF = 31  # FFmpeg's number of a kind of side data that PyAV does not know.


def _matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
  """(a, b, c, d) of the display matrix: pixel (x, y) is displayed at (a x + c y, b x + d y), up to scale."""
  try:
    found = list(picture.side_data)
  except ValueError:
    found = list(_without_exif(picture).side_data)
  for data in found:
    if data.type == SideData.DISPLAYMATRIX:
      a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
      return a, b, c, d
  return 1, 0, 0, 1


def _without_exif(picture: av.VideoFrame) -> av.VideoFrame:
  """The picture without EXIF data. FFmpeg has already converted their orientation to a display matrix."""
  graph = av.filter.Graph()
  size = {"width": picture.width, "height": picture.height, "format": picture.format}
  source = graph.add_buffer(**size, time_base=Fraction(1, 1000))
  graph.link_nodes(source, graph.add("sidedata", f"mode=delete:type={_EXIF}"), graph.add("buffersink"))
  graph.configure()
  graph.push(picture)
  return graph.pull()


def shown_size(picture: av.VideoFrame, stream) -> tuple[int, int]:
  """The (width, height) of a picture as displayed, in square pixels."""
  a, b, _, _ = _matrix(picture)
  aspect = stream.sample_aspect_ratio or 1
  width, height = round(picture.width * aspect) or 1, picture.height
  return (height, width) if abs(b) > abs(a) else (width, height)


def fit_picture(
  picture: av.VideoFrame, stream, height: int, width: int, scaler: VideoReformatter, file: File
) -> UInt8[np.ndarray, "height width 3"]:
  """Rotates and mirrors a picture as displayed, scales it to cover height x width, and crops its borders.

  Args:
    picture: the decoded picture.
    stream: its video stream.
    height, width: size of the result, in pixels.
    scaler: the reformatter, which all pictures of a file share for speed.
    file: the video file, for error messages.

  Raises:
    Unreadable: "too_large", the scaled picture would have more than MAX_PIXELS pixels before cropping.
  """
  a, b, c, d = _matrix(picture)
  transposed = abs(b) > abs(a)
  shown = shown_size(picture, stream)
  cover = _cover(*shown, height, width)
  if cover[0] * cover[1] > MAX_PIXELS:
    size = f"{shown[0]}x{shown[1]}"
    words = f"has pictures of {size} pixels, too elongated to be cropped to the shape of {width}x{height}."
    raise Unreadable("too_large", name_of(file), words)
  # Without a stated matrix, FFmpeg assumes BT.601; high definition is BT.709.
  unspecified = picture.colorspace == _UNSPECIFIED and not picture.format.is_rgb
  matrix = Colorspace.ITU709 if unspecified and picture.height * picture.width > 720 * 576 else None
  codes = int(stream.codec_context.color_trc), int(stream.codec_context.color_primaries)
  target = "rgb24" if is_ordinary(*codes) else "rgb48le"
  if _has_alpha(picture):
    picture, matrix = _on_black(picture, matrix, target), None
  small = scaler.reformat(
    picture,
    *(cover[::-1] if transposed else cover),
    target,
    src_colorspace=matrix,
    dst_color_range=ColorRange.JPEG,
    interpolation="BICUBIC",
    threads=1,
  )
  pixels = small.to_ndarray()
  if target != "rgb24":
    pixels = to_bt709(pixels, *codes)
  if transposed:
    pixels = pixels.swapaxes(0, 1)
  across, down = (c, b) if transposed else (a, d)
  return _centre(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1], height, width)


def _has_alpha(picture: av.VideoFrame) -> bool:
  return picture.format.has_palette or any(part.is_alpha for part in picture.format.components)


def _on_black(picture: av.VideoFrame, matrix: Colorspace | None, target: str) -> av.VideoFrame:
  """The picture on black, in RGB. Scaling it first would mix in the colours of its transparent pixels."""
  format = {"rgb24": "rgba", "rgb48le": "rgba64le"}[target]
  shown = VideoReformatter().reformat(
    picture, format=format, src_colorspace=matrix, dst_color_range=ColorRange.JPEG, threads=1
  )
  pixels = shown.to_ndarray()
  colours, alpha = pixels[..., :3], pixels[..., 3:] / np.float32(np.iinfo(pixels.dtype).max)
  return av.VideoFrame.from_ndarray(np.rint(colours * alpha).astype(pixels.dtype), format=target)


def resize(
  pixels: UInt8[np.ndarray, "frames rows columns 3"], height: int, width: int
) -> UInt8[np.ndarray, "frames height width 3"]:
  """Scales RGB pictures to cover height x width, and crops their borders, so that the centre remains."""
  scaler, cover = VideoReformatter(), _cover(pixels.shape[2], pixels.shape[1], height, width)
  frames = (av.VideoFrame.from_ndarray(np.ascontiguousarray(p), format="rgb24") for p in pixels)
  small = (scaler.reformat(frame, *cover, "rgb24", interpolation="BICUBIC", threads=1) for frame in frames)
  return np.stack([_centre(frame.to_ndarray(), height, width) for frame in small])


def _cover(shown_width: int, shown_height: int, height: int, width: int) -> tuple[int, int]:
  """(width, height) of the smallest picture of the same aspect ratio that covers height x width."""
  scale = max(width / shown_width, height / shown_height)
  return max(width, round(shown_width * scale)), max(height, round(shown_height * scale))


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
  top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
  return np.ascontiguousarray(pixels[top : top + height, left : left + width])
