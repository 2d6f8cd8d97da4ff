"""Pictures that users give: turned, transparent, of any depth and format, and with any name."""

import base64
import struct
import zlib

import cv2
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.media import read_picture
from tests.data.clips import encode

RED, WHITE = (200, 30, 30), (255, 255, 255)
# Eight by eight pixels of CMYK, by Pillow: (0, 200, 200, 20) of 255, which is (235, 51, 51).
CMYK = base64.b85decode(
  "|JeWT01iQ9Z(?NtWB>pF0095n07C!*0RaI40RjO50RjR70s;gB0s;a81q1{G1O^2L1_lKN1_lQS2nGiU2L=WR3kV4c3JMAe1"
  "_%ob3knPg3JMDUzyK5o00;mG1Va%3O%VWD5dcdO0RO}Q6aWDL000000000000000000U9!~hf!0RR910000000000000000R"
  "P$m4g^C0O#oQ{O8@{r0DlJ9+cl5>*#"
)


def read(path, height, width):
  """In 0 to 255."""
  return (read_picture(path, height, width) + 1) * 127.5


def upright():
  """Red, with a white corner at the top left, 40 x 80."""
  pixels = np.empty((40, 80, 3), np.uint8)
  pixels[:], pixels[:20, :40] = RED, WHITE
  return pixels


def save(path, pixels, *options):
  """Writes RGB, grey or RGBA with OpenCV, whose order is BGR."""
  order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
  flipped = pixels[..., order[pixels.shape[2]]] if pixels.ndim == 3 else pixels
  assert cv2.imwrite(str(path), flipped, options)
  return path


def exif(orientation):
  return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)


def chunk(name, data):
  return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# By EXIF 2.3: at which end of the stored picture the top and the left of the shown one are.
TURNS = {
  1: lambda p: p,
  2: lambda p: p[:, ::-1],
  3: lambda p: p[::-1, ::-1],
  4: lambda p: p[::-1],
  5: lambda p: p.swapaxes(0, 1),
  6: lambda p: p.swapaxes(0, 1)[:, ::-1],
  7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
  8: lambda p: p.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("end", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_photograph_is_turned_as_its_camera_was(tmp_path, orientation, end):
  path = save(tmp_path / f"a{end}", upright(), cv2.IMWRITE_JPEG_QUALITY, 98)
  data, tags = path.read_bytes(), exif(orientation)
  if end == ".jpg":
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(tags) + 8) + b"Exif\0\0" + tags + data[2:]
  elif end == ".png":
    data = data[:33] + chunk(b"eXIf", tags) + data[33:]
  else:
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + b"\x4f\0\0" + b"\x27\0\0"
    data = extended + data[12:] + b"EXIF" + struct.pack("<I", len(tags)) + tags
    data = b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data
  path.write_bytes(data)
  want = TURNS[orientation](upright())
  shown = read(path, *want.shape[:2])
  away = np.abs(shown - want).max(-1) > 12
  assert away.mean() < 0.06  # Chroma is coarser than the edge of the corner.


def test_the_range_and_matrix_are_those_of_the_file(tmp_path):
  ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8), 8)
  grey = np.broadcast_to(ramp, (64, 256))
  colours = np.empty((768, 1024, 3), np.uint8)  # Larger than standard definition: still the matrix of BT.601.
  colours[:] = RED
  for name, options in (
    ("a.jpg", (cv2.IMWRITE_JPEG_QUALITY, 98)),
    ("a.webp", (cv2.IMWRITE_WEBP_QUALITY, 98)),
    ("b.webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
    ("a.png", ()),
    ("a.bmp", ()),
    ("a.tiff", ()),
    ("a.avif", (cv2.IMWRITE_AVIF_QUALITY, 98)),
  ):
    np.testing.assert_allclose(
      read(save(tmp_path / name, colours, *options), 6, 8), RED + np.zeros((6, 8, 1)), atol=3
    )
    if name != "a.avif":
      shown = read(save(tmp_path / name, grey, *options), 64, 256)
      np.testing.assert_allclose(shown, grey[..., None] + np.zeros(3), atol=6)


def test_16_bits_grey_and_cmyk(tmp_path):
  deep = np.full((8, 8, 3), (51_400, 7710, 7710), np.uint16)
  np.testing.assert_allclose(read(save(tmp_path / "a.png", deep), 8, 8)[4, 4], RED, atol=1)
  np.testing.assert_allclose(read(save(tmp_path / "a.tiff", deep), 8, 8)[4, 4], RED, atol=1)
  np.testing.assert_allclose(read(save(tmp_path / "b.png", deep[..., 0]), 8, 8)[4, 4], 200, atol=1)
  (tmp_path / "a.jpg").write_bytes(CMYK)
  np.testing.assert_allclose(read(tmp_path / "a.jpg", 8, 8)[4, 4], (235, 51, 51), atol=3)


@pytest.mark.parametrize("kind", ["a.png", "a.webp", "a.tiff", "16 bits.png", "palette.png"])
def test_what_is_transparent_is_black(tmp_path, kind):
  pixels = np.full((40, 80, 4), (*RED, 255), np.uint8)
  pixels[:, :20] = (90, 255, 90, 0)
  path = tmp_path / kind
  if kind == "palette.png":
    rows = b"".join(b"\0" + bytes([0] * 20 + [1] * 60) for _ in range(40))
    head = struct.pack(">IIBBBBB", 80, 40, 8, 3, 0, 0, 0)
    parts = (
      (b"IHDR", head),
      (b"PLTE", bytes([90, 255, 90, *RED])),
      (b"tRNS", b"\0"),
      (b"IDAT", zlib.compress(rows)),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b""))))
  else:
    save(path, pixels.astype(np.uint16) * 257 if "16" in kind else pixels, cv2.IMWRITE_WEBP_QUALITY, 101)
  shown = read(path, 40, 80)
  np.testing.assert_allclose(shown[20, 5], 0, atol=1)
  np.testing.assert_allclose(shown[20, 60], RED, atol=2)
  assert (np.diff(read(path, 10, 20)[5, :, 1]) > -4).all()  # No hidden colour enters its neighbours.


def test_an_animation_or_video_gives_its_first_picture(tmp_path):
  for end, codec, pixel_format in ((".gif", "gif", "rgb8"), (".mp4", "libx264", "yuv420p")):
    path = encode(tmp_path / f"a{end}", codec, pixel_format=pixel_format)
    np.testing.assert_allclose(read(path, 48, 64)[36, 48], (255, 0, 0), atol=8)


def test_names_are_never_patterns(tmp_path):
  for name in ("a%02d.png", "b%*.jpg", "c?*.png", "%d.gif", "a:b.png"):
    end = name[-4:]
    if end == ".gif":
      path = encode(tmp_path / name, "gif", pixel_format="rgb8")
    else:
      path = save(tmp_path / f"plain{end}", upright()).rename(tmp_path / name)
    assert read(path, 40, 80).shape == (40, 80, 3)


def test_what_is_no_picture_is_told_in_a_line(tmp_path):
  whole = save(tmp_path / "a.png", upright()).read_bytes()
  thin = save(tmp_path / "thin.png", np.zeros((1, 20_000, 3), np.uint8))
  sizes = struct.pack(">II", 30_000, 30_000)
  bomb = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", sizes + b"\x08\x02\0\0\0")
    + chunk(b"IDAT", zlib.compress(bytes(99)))
  )
  files = {
    "empty.png": b"",
    "text.png": b"no picture\n" * 9,
    "cut.png": whole[:50],
    "cut.jpg": CMYK[:90],
    "bomb.png": bomb,
  }
  for name, data in files.items():
    (tmp_path / name).write_bytes(data)
  # Transparency is a second picture, and so are the tiles of a large one.
  parts = save(tmp_path / "parts.avif", np.full((64, 64, 4), 128, np.uint8))
  for path in (*(tmp_path / name for name in files), tmp_path, tmp_path / "nowhere.png", thin, parts):
    with pytest.raises(UserError, match="cannot be read as a picture: it ") as caught:
      read_picture(path, 64, 64)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
