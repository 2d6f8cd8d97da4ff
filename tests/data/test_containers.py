"""Every container: the file is as long as its pictures, and at every time of it the right one is shown."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import probe, read_frames, seconds_of
from tests.data.clips import colour, encode, picture

# Ending, codec of the pictures, codec of the sound, pictures per second.
CONTAINERS = [
  (".mp4", "libx264", "aac", 10),
  (".m4v", "libx264", "aac", 10),
  (".mov", "libx264", "aac", 10),
  (".3gp", "mpeg4", "aac", 10),
  (".mkv", "libx264", "aac", 10),
  (".webm", "libvpx-vp9", "libopus", 10),
  (".ts", "libx264", "aac", 10),
  (".m2ts", "libx264", "aac", 10),
  (".mts", "libx264", "aac", 10),
  (".flv", "flv", "aac", 10),
  (".ogv", "libvpx", "libopus", 10),
  (".wmv", "wmv2", "libmp3lame", 10),
  (".asf", "wmv2", "libmp3lame", 10),
  (".avi", "mpeg4", "pcm_s16le", 10),
  (".mpg", "mpeg2video", "mp2", 25),
  (".mpeg", "mpeg1video", "mp2", 25),
  (".vob", "mpeg2video", "ac3", 25),
  (".mxf", "mpeg2video", None, 25),
]
OPTIONS = {
  "libvpx": {"crf": "4", "b": "5M", "deadline": "realtime"},
  "wmv2": {"q": "2"},
  "flv": {"q": "2"},
  "mpeg2video": {"b": "8M"},
  "mpeg1video": {"b": "8M"},
}


def check(path, ticks, seconds, worst=25):
  """Checks the length of a video, and the picture in the middle of the time of each, from anywhere.

  Args:
    ticks: when each picture of `clips.picture` begins, in seconds.
    seconds: when the last one ends.
  """
  assert probe(path).seconds == pytest.approx(seconds, abs=0.002)
  assert seconds_of(path) == probe(path).seconds
  middles = (np.array(ticks) + [*ticks[1:], seconds]) / 2
  wrong = lambda pixels, k: np.abs(pixels[36, 48].astype(int) - colour(k)).max() > worst  # noqa: E731
  frames = read_frames(path, middles, 48, 64)
  assert [k for k, pixels in enumerate(frames) if wrong(pixels, k)] == []
  alone = [read_frames(path, [middle], 48, 64)[0] for middle in middles]
  assert [k for k, pixels in enumerate(alone) if wrong(pixels, k)] == []
  # Every window that the length allows.
  assert len(read_frames(path, [seconds_of(path) - 1e-3], 48, 64)) == 1


MODES = [
  (*container, mode)
  for container in CONTAINERS
  for mode in ("alone", "more sound", "late")
  if mode == "alone" or container[2] and (container[0], mode) != (".avi", "late")  # AVI states no start.
]


@pytest.mark.parametrize(("end", "codec", "sound", "rate", "mode"), MODES, ids=str)
def test_a_file_is_as_long_as_its_pictures(tmp_path, end, codec, sound, rate, mode):
  heard = {} if mode == "alone" else {"tones": (440,), "sound_codec": sound}
  heard["sound_seconds"] = 5 if mode == "more sound" else 2
  late = {"output_ts_offset": "7.3"} if mode == "late" else {}
  options = {**OPTIONS.get(codec, {}), "g": "9"}
  path = tmp_path / f"a{end}"
  encode(path, codec, frames=2 * rate, rate=rate, options=options, container_options=late, **heard)
  check(path, np.arange(2 * rate) / rate, 2.0)
  if mode != "alone":
    wave = read_sound(path, 16_000, 1.0, 0.8)
    assert np.std(wave) == pytest.approx(0.5 / 2**0.5, rel=0.1)


REORDERED = [
  (".avi", "mpeg4", 10),
  (".avi", "libx264", 10),
  (".mkv", "mpeg4", 10),
  (".flv", "libx264", 10),
  (".mp4", "libx265", 10),
  (".ts", "mpeg2video", 25),
  (".mpg", "mpeg2video", 25),
  (".avi", "mpeg2video", 25),
]


@pytest.mark.parametrize(("end", "codec", "rate"), REORDERED, ids=str)
def test_pictures_may_be_stored_in_another_order(tmp_path, end, codec, rate):
  options = {"preset": "medium"} if codec == "libx264" else OPTIONS.get(codec, {})
  path = tmp_path / f"a{end}"
  encode(path, codec, frames=2 * rate, rate=rate, options={**options, "bf": "2", "g": "12"})
  check(path, np.arange(2 * rate) / rate, 2.0)


@pytest.mark.parametrize("end", [".ts", ".mpg"])
@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_large_pictures_of_streams_without_an_index(tmp_path, codec, end):
  noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3))
  pictures = [picture(k, 240, 320) for k in range(50)]
  for pixels in pictures:
    pixels[:120, :160] = noise
  encode(
    tmp_path / f"a{end}",
    codec,
    rate=25,
    pictures=pictures,
    height=240,
    width=320,
    options={"b": "8M", "g": "9"},
  )
  check(tmp_path / f"a{end}", np.arange(50) / 25, 2.0, worst=40)


@pytest.mark.parametrize("before", [0.5, 1.05, 70])
def test_time_stamps_may_start_again_at_0(tmp_path, before):
  start = 2**33 / 90_000 - before
  options = {"preset": "medium", "bf": "3", "g": "12"}
  path = tmp_path / "a.ts"
  encode(path, frames=30, options=options, tones=(440,), container_options={"output_ts_offset": str(start)})
  check(path, np.arange(30) / 10, 3.0)
  assert np.std(read_sound(path, 16_000, 0.3, 1.5)) == pytest.approx(0.5 / 2**0.5, rel=0.05)


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov+delay_moov", "frag_keyframe"])
def test_mp4_in_fragments(tmp_path, flags):
  path = encode(
    tmp_path / "a.mp4",
    frames=40,
    options={"g": "10"},
    container_options={"movflags": f"+{flags}"},
  )
  check(path, np.arange(40) / 10, 4.0)


def test_an_edit_list_cuts_the_video(tmp_path):
  path = encode(tmp_path / "a.mp4", frames=40, options={"preset": "medium", "bf": "2", "g": "12"})
  with av.open(str(path)) as file:
    tick = file.streams.video[0].time_base
  data = bytearray(path.read_bytes())
  at = data.find(b"elst") + 12  # Of the only entry, the duration in milliseconds and the first time in ticks.
  duration, first = struct.unpack_from(">Ii", data, at)
  assert duration == 4000
  struct.pack_into(">Ii", data, at, 1500, first + int(1 / tick))
  path.write_bytes(data)
  assert probe(path).seconds == pytest.approx(1.5)
  frames = read_frames(path, np.arange(15) / 10 + 0.05, 48, 64)
  alone = [read_frames(path, [k / 10 + 0.05], 48, 64)[0] for k in range(15)]
  for k, pixels in enumerate(frames):
    np.testing.assert_array_equal(pixels, alone[k])
    np.testing.assert_allclose(pixels[36, 48], colour(k + 10), atol=8)


@pytest.mark.parametrize("end", [".mkv", ".webm", ".flv"])
def test_what_is_cut_short_is_not_a_shorter_video(tmp_path, end):
  noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
  codec = "libvpx-vp9" if end == ".webm" else "libx264"
  path = encode(
    tmp_path / f"a{end}",
    codec,
    pictures=noise,
    tones=(440,),
    sound_codec="libopus" if end == ".webm" else "aac",
    sound_seconds=6,
  )
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  assert probe(path).seconds == pytest.approx(6, abs=0.1)
  with pytest.raises(Unreadable) as caught:
    read_frames(path, np.arange(60) / 10, 48, 64)
  assert caught.value.reason == "truncated"


def write_gif(path, delays):
  """Pictures of `clips.picture`, each shown for that many hundredths of a second."""
  clock, now = Fraction(1, 100), 0
  with av.open(str(path), "w") as file:
    stream = file.add_stream("gif", rate=100)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
    stream.codec_context.time_base = clock
    for k, delay in enumerate(delays):
      frame = av.VideoFrame.from_ndarray(picture(k, 48, 64), format="rgb24").reformat(format="rgb8")
      frame.pts, frame.time_base, now = now, clock, now + delay
      for packet in stream.encode(frame):
        packet.duration = delay
        file.mux(packet)
    file.mux(stream.encode(None))
  return path


def webp(pictures, delays):
  animation = cv2.Animation()
  animation.frames = [np.ascontiguousarray(pixels[..., [2, 1, 0, 3]]) for pixels in pictures]
  animation.durations = list(delays)
  written, data = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, 101])
  assert written
  return data.tobytes()


def opaque(k):
  return np.dstack([picture(k, 48, 64), np.full((48, 64), 255, np.uint8)])


def test_animations_keep_the_time_of_each_picture(tmp_path):
  delays = np.array([10, 20, 50, 5, 100])  # The last is longer than pictures are held.
  starts = np.cumsum([0, *delays[:-1]]) / 100
  gif = write_gif(tmp_path / "100%d.gif", delays)  # FFmpeg takes such a name for a pattern.
  (tmp_path / "a.webp").write_bytes(webp(map(opaque, range(5)), 10 * delays))
  for path, worst in ((gif, 60), (tmp_path / "a.webp", 3), ((tmp_path / "a.webp").read_bytes(), 3)):
    check(path, starts, 1.85, worst)
    assert probe(path).rate == pytest.approx(5 / 1.85, rel=0.01)
  # A picture without a duration is shown for a tenth of a second.
  data = bytearray(gif.read_bytes())
  struct.pack_into("<H", data, data.find(b"\x21\xf9\x04") + 4, 0)
  assert (
    probe(bytes(data)).seconds == probe(webp(map(opaque, range(5)), [0, *10 * delays[1:]])).seconds == 1.85
  )


def test_stills_are_no_videos_or_short_ones(tmp_path):
  for end in (".webp", ".png", ".jpg", ".bmp", ".tiff", ".avif"):
    cv2.imwrite(str(tmp_path / f"a{end}"), picture(0, 48, 64))
    with pytest.raises(Unreadable) as caught:
      probe(tmp_path / f"a{end}")
    assert caught.value.reason == "not_a_video"
  assert probe(write_gif(tmp_path / "a.gif", [10])).seconds == pytest.approx(0.1)


def test_damaged_animations_are_told(tmp_path, capfd):
  data = webp(map(opaque, range(5)), [100] * 5)
  for broken in (data[:25], data[: len(data) // 2], data[:-3], data[:60] + bytes(40) + data[100:]):
    with pytest.raises(Unreadable) as caught:
      probe(broken)
    assert caught.value.reason == "truncated"
  large = data[:24] + b"\xff\xff\x00\xff\xff\x00" + data[30:]
  with pytest.raises(Unreadable) as caught:
    probe(large)
  assert caught.value.reason == "too_large"
  gif = write_gif(tmp_path / "a.gif", [10] * 5).read_bytes()
  with pytest.raises(Unreadable) as caught:
    probe(gif[:10])
  assert caught.value.reason in ("truncated", "no_frames", "decoder_error")
  assert capfd.readouterr().err == ""  # OpenCV and FFmpeg say nothing.


SEE_THROUGH = [
  ("libvpx-vp9", ".webm", "yuva420p", {"crf": "4", "b": "0", "auto-alt-ref": "0"}),
  ("libvpx", ".webm", "yuva420p", {"crf": "4", "b": "4M", "auto-alt-ref": "0"}),
  ("prores_ks", ".mov", "yuva444p10le", {}),
  ("png", ".mov", "rgba", {}),
  ("ffv1", ".mkv", "bgra", {}),
  ("gif", ".gif", "bgra", {}),
  ("webp", ".webp", "bgra", {}),
]


@pytest.mark.parametrize(("codec", "end", "pixel_format", "options"), SEE_THROUGH, ids=str)
def test_what_is_transparent_is_black(tmp_path, codec, end, pixel_format, options):
  pixels = np.full((48, 64, 4), (200, 30, 30, 255), np.uint8)
  pixels[:, :20] = (90, 255, 90, 0)  # A colour that must not be seen.
  half = codec != "gif"
  pixels[:, 20:40, 3] = 128 if half else 255
  path = tmp_path / f"a{end}"
  if codec == "webp":
    several = np.stack([pixels] * 10)
    several[:, -1, -1, 0] += np.arange(10, dtype=np.uint8)  # Equal pictures would become one.
    path.write_bytes(webp(several, [100] * 10))
  elif codec == "gif":
    path.write_bytes(see_through_gif())
  else:
    with av.open(str(path), "w") as file:
      stream = file.add_stream(codec, rate=10, options=options)
      stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
      for index in range(10):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
        frame.pts, frame.time_base = index, Fraction(1, 10)
        file.mux(stream.encode(frame))
      file.mux(stream.encode(None))
  for time in (0, 0.75):
    hidden, seen_half, seen = read_frames(path, [time], 48, 64)[0, 24, [5, 30, 55]].astype(int)
    np.testing.assert_allclose(hidden, 0, atol=2)
    np.testing.assert_allclose(seen, (200, 30, 30), atol=6)
    np.testing.assert_allclose(seen_half, (100, 15, 15) if half else (200, 30, 30), atol=6)
    # Scaled down, no hidden colour enters its neighbours.
    assert (np.diff(read_frames(path, [time], 12, 16)[0, 6, :, 1].astype(int)) > -4).all()


def see_through_gif():
  """Two pictures of half a second. Colour 0, (90, 255, 90), is transparent; 1 is (200, 30, 30)."""
  row = [0] * 20 + [1] * 44
  # LZW codes of three bits: a clear code before every two colours, so that the codes stay as short.
  codes = [code for i, pixel in enumerate(row * 48) for code in ([4, pixel] if i % 2 == 0 else [pixel])] + [5]
  number = sum(code << (3 * i) for i, code in enumerate(codes))
  data = number.to_bytes(-(-3 * len(codes) // 8), "little")
  blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
  head = b"GIF89a" + struct.pack("<HHBBB", 64, 48, 0x80, 0, 0) + bytes([90, 255, 90, 200, 30, 30])
  image = (
    b"\x21\xf9\x04" + struct.pack("<BHBB", 0x09, 50, 0, 0)  # Cleared after it, transparent; half a second.
    + b"," + struct.pack("<HHHHB", 0, 0, 64, 48, 0) + b"\x02" + blocks + b"\0"
  )  # fmt: skip
  return head + image * 2 + b";"
