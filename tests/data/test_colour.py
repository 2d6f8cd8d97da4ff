"""High dynamic range and wide gamut: ordinary colours come back, and highlights are compressed."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stale_jax.data import build_source
from stale_jax.data.curate.examine import examine
from stale_jax.data.decode.colour import to_bt709
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.video import frames_at, probe, read_frames
from stale_jax.errors import UserError
from stale_jax.media import read_picture

# By the standards' own words. BT.2087: linear BT.709 to BT.2020, in four digits.
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
# Publications of Apple and the ICC: linear sRGB to Display P3.
TO_P3 = np.array([[0.8225, 0.1774, 0.0000], [0.0332, 0.9669, 0.0000], [0.0171, 0.0724, 0.9108]])
COLOURS = [(200, 30, 30), (30, 180, 60), (40, 60, 170), (128, 128, 128), (190, 190, 60), (16, 16, 16)]


def pq(nits):
  """BT.2100, table 4: the inverse of the EOTF."""
  m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
  y = np.asarray(nits / 10_000) ** m1
  return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg(nits):
  """BT.2100, table 5: the OETF, of the light of a scene that is shown with 1,000 nits and a gamma of 1.2."""
  scene = (np.asarray(nits) / 1000) ** (1 / 1.2)
  high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
  return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


# Name -> codes of the transfer and primaries, matrix from BT.709, and values of light, of which 1 is white.
KINDS = {
  "pq": (16, 9, TO_2020, lambda light: pq(203 * light)),
  "hlg": (18, 9, TO_2020, lambda light: hlg(203 * light)),
  "pq of P3": (16, 12, TO_P3, lambda light: pq(203 * light)),
  "wide": (14, 9, TO_2020, lambda light: light ** (1 / 2.4)),
  "P3": (1, 12, TO_P3, lambda light: light ** (1 / 2.4)),
}


def values(colour, matrix, encode):
  """The RGB values, 0 to 1, of a colour of ordinary video (BT.1886: a gamma of 2.4)."""
  return encode((np.array(colour) / 255) ** 2.4 @ matrix.T)


def write(path, pictures, transfer, primaries, codec="libx265"):
  with av.open(str(path), "w") as file:
    options = {"crf": "2", "preset": "fast", "x265-params": "log-level=none"}
    stream = file.add_stream(codec, rate=10, options=options if codec == "libx265" else {})
    height, width, _ = pictures[0].shape
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
    context = stream.codec_context
    context.color_trc, context.color_primaries = transfer, primaries
    context.colorspace = 9 if primaries == 9 else 1
    for index, rgb in enumerate(pictures):
      frame = av.VideoFrame.from_ndarray(np.rint(rgb * 65_535).astype(np.uint16), format="rgb48le")
      frame = frame.reformat(
        format="yuv420p10le",
        dst_colorspace="BT2020" if primaries == 9 else "ITU709",
        dst_color_range="MPEG",
      )
      frame.pts, frame.time_base = index, Fraction(1, 10)
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  return path


def plain(colour, height=48, width=64):
  return np.broadcast_to(colour, (height, width, 3))


@pytest.mark.parametrize("end", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_colours_of_ordinary_video_come_back(tmp_path, kind, end):
  transfer, primaries, *how = KINDS[kind]
  path = write(tmp_path / f"a{end}", [plain(values(colour, *how)) for colour in COLOURS], transfer, primaries)
  assert probe(path).transfer == (kind.split()[0] if transfer in (16, 18) else "sdr")
  frames = read_frames(path, np.arange(len(COLOURS)) / 10, 24, 32)
  np.testing.assert_allclose(frames[:, 12, 16], COLOURS, atol=5)
  # As such, without the conversion, the values are others.
  raw = np.array([255 * values(colour, *how) for colour in COLOURS])
  assert np.abs(raw - COLOURS).max() > 12


@pytest.mark.parametrize("kind", ["pq", "hlg"])
def test_highlights_are_compressed_and_keep_their_order_and_hue(kind):
  transfer, primaries, _, encode = KINDS[kind]
  nits = np.array([0.0, 1, 10, 50, 90, 203, 400, 700, 1000])
  grey = np.rint(65_535 * encode(nits / 203)).astype(np.uint16)
  shown = to_bt709(np.broadcast_to(grey[:, None, None], (9, 1, 3)).copy(), transfer, primaries)[:, 0]
  assert (shown == shown[:, :1]).all()
  shown = shown[:, 0].astype(int)
  # Below 94 nits as they are; paper white a little below 255; the rest in between.
  np.testing.assert_allclose(shown[:5], 255 * (nits[:5] / 203) ** (1 / 2.4), atol=1)
  assert (np.diff(shown)[:-1] > 2).all() and 225 <= shown[5] <= 240 and shown[-2:].min() >= 254
  # Orange light, four times as bright as white, is orange.
  orange = values((255, 140, 40), TO_2020, lambda light: encode(np.minimum(4 * light, 1000 / 203)))
  red, green, blue = to_bt709(np.rint(65_535 * orange).astype(np.uint16)[None, None], transfer, primaries)[
    0, 0
  ]
  assert red > 240 and 0.4 < green / red < 0.75 and blue < 0.4 * red


def test_a_video_of_high_dynamic_range_can_be_left_out(tmp_path, capsys):
  transfer, primaries, *how = KINDS["hlg"]
  path = write(tmp_path / "hlg.mp4", [plain(values(COLOURS[0], *how))] * 20, transfer, primaries)
  for read in (
    lambda: probe(path, "leave_out"),
    lambda: list(frames_at(path, [0.5], 8, 8, "leave_out")),
    lambda: examine(str(path), 0.5, 8.0, "leave_out"),
  ):
    with pytest.raises(Unreadable, match="high dynamic range") as caught:
      read()
    assert caught.value.reason == "hdr"
  assert examine(str(path), 0.5, 8.0, "tone_map")["transfer"] == "hlg"
  fields = {"frames": 4, "height": 24, "width": 32, "rate": 5.0, "patch": (2, 8, 8), "held_out": 0.0}
  fields = {"name": "folder", "path": str(tmp_path), **fields}
  (red, green, blue) = (build_source(fields)[0]["clip"]["sight"][0, 12, 16] + 1) * 127.5
  assert (red, green, blue) == pytest.approx(COLOURS[0], abs=5)
  with pytest.raises(UserError, match="high dynamic range"):
    build_source({**fields, "hdr": "leave_out"})[0]
  assert "hlg.mp4 has a high dynamic range" in capsys.readouterr().err
  ordinary = write(tmp_path / "wide.mp4", [plain(values(COLOURS[0], *KINDS["wide"][2:]))] * 20, 14, 9)
  assert len(read_frames(ordinary, [0, 1], 8, 8, "leave_out")) == 2
  assert build_source({**fields, "hdr": "leave_out"})[0]["clip"]["sight"].shape == (4, 24, 32, 3)
  with pytest.raises(UserError, match="hdr"):
    build_source({**fields, "hdr": "yes"})


def test_a_picture_is_converted_as_a_video_is(tmp_path):
  transfer, primaries, *how = KINDS["pq"]
  path = write(tmp_path / "a.mp4", [plain(values(COLOURS[0], *how))], transfer, primaries)
  pixels = (read_picture(path, 24, 32) + 1) * 127.5
  np.testing.assert_allclose(pixels[12, 16], COLOURS[0], atol=5)
