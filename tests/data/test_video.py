"""Decoding: the right picture at every time, turned right, sound in tune; bad files told apart."""

import os
import pickle
import shutil
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import Probe, frames_at, probe, read_frames
from stale_jax.errors import UserError
from tests.data.clips import COLOURS, colour, encode

CODES = [
  ("libx264", ".mp4", "yuv420p", "h264", {}),
  ("libx264", ".mkv", "yuv444p", "h264", {}),
  ("libx264", ".ts", "yuv420p", "h264", {}),
  # Many pictures between, each leaning on later ones, and groups that lean on the next one.
  (
    "libx264",
    ".mov",
    "yuv420p",
    "h264",
    {"preset": "medium", "g": "12", "bf": "4", "x264-params": "open-gop=1"},
  ),
  ("libx265", ".mp4", "yuv420p10le", "hevc", {"g": "8"}),
  ("libvpx-vp9", ".webm", "yuv420p", "vp9", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "10"}),
  ("mpeg4", ".avi", "yuv420p", "mpeg4", {"g": "9"}),
  ("prores_ks", ".mov", "yuv422p10le", "prores", {}),
]


def distance(pixels, frame, corner=True):
  """The greatest error of a picture of `clips.picture`, at the middle of its quarters."""
  height, width, _ = pixels.shape
  rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
  worst = 0
  for row in rows:
    for column in columns:
      want = (255, 255, 255) if (row, column) == (rows[0], columns[0]) and corner else colour(frame)
      worst = max(worst, np.abs(pixels[row, column].astype(int) - want).max())
  return worst


@pytest.mark.parametrize(("codec", "end", "pixel_format", "name", "options"), CODES)
def test_every_code_gives_every_picture_from_any_start(tmp_path, codec, end, pixel_format, name, options):
  path = encode(tmp_path / f"a{end}", codec, frames=40, pixel_format=pixel_format, options=options)
  found = probe(path)
  want = {"width": 64, "height": 48, "rate": 10.0, "has_sound": False, "codec": name}
  assert {key: getattr(found, key) for key in want} == want
  assert found.pixel_format == pixel_format and found.seconds == pytest.approx(4, abs=0.11)
  frames = read_frames(path, np.arange(40) / 10, 48, 64)
  assert frames.shape == (40, 48, 64, 3) and frames.dtype == np.uint8
  assert [k for k in range(40) if distance(frames[k], k) > 8] == []
  # A picture is seen from its time until the next one's, wherever decoding begins.
  for start in (3, 8, 11, 12, 13, 23, 24, 37, 39):
    for time in (start / 10, start / 10 + 0.04, start / 10 + 0.09):
      np.testing.assert_array_equal(read_frames(path, [time], 48, 64)[0], frames[start])
  np.testing.assert_array_equal(read_frames(path, 1.25 + np.arange(5) / 5, 48, 64), frames[12:22:2])
  # Bytes are a file as well.
  np.testing.assert_array_equal(read_frames(path.read_bytes(), [1.7], 48, 64)[0], frames[17])


@pytest.mark.parametrize("end", [".mp4", ".mkv"])
def test_pictures_that_come_at_a_variable_rate_are_picked_by_their_time(tmp_path, end):
  ticks = [0, 33, 67, 400, 410, 1000, 1001, 1700]
  path = encode(tmp_path / f"a{end}", frames=8, rate=30, ticks=ticks)
  times = [0, 0.02, 0.0334, 0.0664, 0.067, 0.399, 0.4, 0.405, 0.42, 0.7, 0.998, 1.0, 1.3, 1.69, 1.7, 1.9]
  shown = [max(k for k in range(8) if ticks[k] <= time * 1000 + 0.5) for time in times]
  # Those times tell the pictures apart.
  assert sorted(set(shown)) == list(range(8))
  frames = read_frames(path, times, 48, 64)
  assert [distance(frame, k) < 8 for frame, k in zip(frames, shown, strict=True)] == [True] * len(times)
  assert np.array_equal(frames[5], frames[4]) and not np.array_equal(frames[5], frames[6])


def test_a_rate_that_is_not_the_files_is_met_by_repeating_and_leaving_out(tmp_path):
  path = encode(tmp_path / "a.mp4", frames=20)
  for rate in (25, 4, 10, 7.5):
    times = np.arange(int(1.9 * rate)) / rate
    frames = read_frames(path, times, 48, 64)
    assert [k for k, time in enumerate(times) if distance(frames[k], int(time * 10 + 1e-6)) > 8] == []


@pytest.mark.parametrize("end", [".mp4", ".mkv"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_pictures_are_turned_and_mirrored_as_the_file_asks(tmp_path, rotation, mirrored, end):
  path = encode(tmp_path / f"a{end}", frames=2, rotation=rotation, mirrored=mirrored)
  with av.open(str(path)) as file:
    found = [data for data in next(file.decode(video=0)).side_data if "MATRIX" in data.type.name]
  assert bool(found) == bool(rotation or mirrored)
  matrix = np.frombuffer(bytes(found[0]), np.int32) if found else (1, 0, 0, 0, 1, 0, 0, 0, 1)
  a, b, _, c, d, *_ = np.sign(matrix)
  # By the standard's own words (ISO/IEC 14496-12, 6.2.2), the white corner, at (-1, -1), is shown at:
  across, down = -a - c, -b - d
  found = probe(path)
  upright = rotation in (90, -90)
  assert (found.width, found.height) == ((48, 64) if upright else (64, 48))
  frame = read_frames(path, [0], found.height, found.width)[0]
  height, width, _ = frame.shape
  for y in (-1, 1):
    for x in (-1, 1):
      white = (x, y) == (across, down)
      pixel = frame[height // 2 + y * height // 4, width // 2 + x * width // 4]
      np.testing.assert_allclose(pixel, (255, 255, 255) if white else COLOURS[0], atol=8)
  # PyAV's word for the angle is against the clock.
  if not mirrored and rotation == 90:
    assert (across, down) == (-1, 1)


def test_the_middle_is_cut_out_of_what_covers(tmp_path):
  # Ten columns, red to the left of green.
  wide = np.zeros((40, 100, 3), np.uint8)
  wide[:, :50], wide[:, 50:] = (255, 0, 0), (0, 255, 0)
  wide[:, :30] = wide[:, 70:] = (0, 0, 255)
  path = encode(tmp_path / "a.mkv", "ffv1", height=40, width=100, pixel_format="bgr0", pictures=[wide] * 2)
  frame = read_frames(path, [0], 20, 20)[0]
  # 100 x 40 shrinks to 50 x 20, whose columns 15 to 35 are the red and the green.
  assert frame.shape == (20, 20, 3)
  np.testing.assert_allclose(frame[:, 1:8], np.broadcast_to((255, 0, 0), (20, 7, 3)), atol=4)
  np.testing.assert_allclose(frame[:, 12:19], np.broadcast_to((0, 255, 0), (20, 7, 3)), atol=4)
  high = encode(
    tmp_path / "b.mkv", "ffv1", height=100, width=40, pixel_format="bgr0", pictures=[wide.swapaxes(0, 1)] * 2
  )
  np.testing.assert_allclose(read_frames(high, [0], 20, 20)[0][1:8], frame.swapaxes(0, 1)[1:8], atol=4)
  # Enlarged, too.
  assert distance(read_frames(encode(tmp_path / "c.mp4"), [0.3], 150, 200)[0], 3) < 8


def test_odd_sizes_and_long_pixels(tmp_path):
  path = encode(tmp_path / "a.mp4", height=49, width=67, pixel_format="yuv444p", frames=4)
  assert (probe(path).width, probe(path).height) == (67, 49)
  assert distance(read_frames(path, [0.2], 49, 67)[0], 2) < 8
  path = encode(tmp_path / "b.mkv", aspect=Fraction(2), frames=4)
  assert (probe(path).width, probe(path).height) == (128, 48)


def test_the_colours_of_high_definition_are_its_own(tmp_path):
  for colours, height, width in (("said", 48, 64), ("said", 720, 1280), ("unsaid", 720, 1280), ("", 48, 64)):
    path = encode(tmp_path / f"{colours}{height}.mp4", frames=7, height=height, width=width, colours=colours)
    frames = read_frames(path, np.arange(7) / 10, 48, 64)
    assert max(distance(frame, k) for k, frame in enumerate(frames)) < 8


def tone(wave, rate, begin=0.2, end=0.8):
  """Frequency and amplitude of the strongest sine between those shares of the wave."""
  wave = wave[int(begin * len(wave)) : int(end * len(wave))]
  spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
  peak = int(spectrum.argmax())
  return peak * rate / len(wave), 4 * spectrum[peak] / len(wave)


@pytest.mark.parametrize(
  ("end", "codec", "sound"),
  [
    (".mp4", "libx264", "aac"),
    (".webm", "libvpx-vp9", "libopus"),
    (".mkv", "mpeg4", "pcm_s16le"),
    (".mov", "mpeg4", "aac"),
  ],
)
def test_sound_is_in_tune_at_any_rate(tmp_path, end, codec, sound):
  mono = encode(tmp_path / f"a{end}", codec, tones=(440,), sound_codec=sound)
  stereo = encode(tmp_path / f"b{end}", codec, tones=(440, 440), sound_codec=sound)
  assert probe(mono).has_sound
  for path in (mono, stereo):
    for rate in (16_000, 48_000):
      wave = read_sound(path, rate, 0, 2)
      assert wave.shape == (2 * rate,) and wave.dtype == np.float32
      frequency, amplitude = tone(wave, rate)
      assert frequency == pytest.approx(440, abs=2) and amplitude == pytest.approx(0.5, rel=0.1)
    part, whole = read_sound(path, 48_000, 0.7, 0.5), read_sound(path, 48_000, 0, 2)
    # From the middle it is the same wave, to a millisecond and less: 440 Hz would show more.
    assert np.abs(part - whole[33_600:57_600])[2400:-2400].max() < 0.1
  # The mean of the two channels.
  different = encode(tmp_path / f"c{end}", codec, tones=(440, 3000), sound_codec=sound)
  frequency, amplitude = tone(read_sound(different, 16_000, 0, 2), 16_000)
  assert amplitude == pytest.approx(0.25, rel=0.15)


def test_sound_lies_where_it_is_heard_and_silence_where_there_is_none(tmp_path):
  path = encode(
    tmp_path / "a.mkv", "mpeg4", tones=(440,), sound_codec="pcm_s16le", sound_seconds=0.5, sound_starts=0.8
  )
  wave = np.abs(read_sound(path, 16_000, 0, 2))
  loud = np.flatnonzero(wave > 0.01) / 16_000
  assert loud[0] == pytest.approx(0.8, abs=0.005) and loud[-1] == pytest.approx(1.3, abs=0.005)
  loud = np.flatnonzero(np.abs(read_sound(path, 16_000, 0.75, 1)) > 0.01) / 16_000
  assert loud[0] == pytest.approx(0.05, abs=0.005) and loud[-1] == pytest.approx(0.55, abs=0.005)
  assert not read_sound(path, 16_000, 1.5, 0.5).any()
  assert read_sound(encode(tmp_path / "b.mp4"), 16_000, 0, 1) is None


def test_sound_that_pauses_goes_on_when_it_does(tmp_path):
  with av.open(str(tmp_path / "a.mkv"), "w") as file:
    video = file.add_stream("mpeg4", rate=10)
    video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
    audio = file.add_stream("pcm_s16le", rate=16_000, layout="mono")
    for index in range(20):
      picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
      picture.pts, picture.time_base = index, Fraction(1, 10)
      file.mux(video.encode(picture))
    file.mux(video.encode(None))
    for begin in (0, 24_000):  # Half a second of sound, a second of none, and half a second again.
      loud = av.AudioFrame.from_ndarray(np.full((1, 8000), 16_384, np.int16), format="s16", layout="mono")
      loud.sample_rate, loud.pts, loud.time_base = 16_000, begin, Fraction(1, 16_000)
      file.mux(audio.encode(loud))
    file.mux(audio.encode(None))
  wave = read_sound(tmp_path / "a.mkv", 16_000, 0, 2)
  loud = np.abs(wave - 0.5) < 0.01
  assert loud[200:7800].all() and not wave[8200:23_800].any() and loud[24_200:31_800].all()


def reason(function, *arguments):
  with pytest.raises(Unreadable) as caught:
    function(*arguments)
  assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)
  return caught.value.reason


def test_files_that_are_no_videos_are_told_apart(tmp_path):
  def file(name, data):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name

  good = encode(tmp_path / "good.mp4", tones=(440,)).read_bytes()
  picture = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")
  picture.save(tmp_path / "a.png")
  with av.open(str(tmp_path / "sound.mp4"), "w") as sound:
    stream = sound.add_stream("aac", rate=48_000, layout="mono")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 48_000
    sound.mux([*stream.encode(frame), *stream.encode(None)])
  other = encode(tmp_path / "other.mp4")
  found = {
    "missing": reason(probe, tmp_path / "nowhere.mp4"),
    "folder": reason(probe, tmp_path),
    "empty": reason(probe, file("empty.mp4", b"")),
    "text": reason(probe, file("text.mp4", b"this is no video at all, whatever its name\n" * 9)),
    "picture": reason(probe, tmp_path / "a.png"),
    # A playlist may open other files.
    "playlist": reason(probe, file("list.mp4", f"ffconcat version 1.0\nfile '{other}'\n".encode())),
    "stream": reason(
      probe, file("list2.mp4", b"#EXTM3U\n#EXTINF:2,\n" + bytes(other) + b"\n#EXT-X-ENDLIST\n")
    ),
    "cut": reason(probe, file("cut.mp4", good[: len(good) // 2])),
    "bytes": reason(probe, good[:40]),
    "sound": reason(probe, tmp_path / "sound.mp4"),
  }
  assert found == {
    "missing": "no_file",
    "folder": "no_file",
    "empty": "empty",
    "text": "not_a_video",
    "picture": "not_a_video",
    "playlist": "not_a_video",
    "stream": "not_a_video",
    "cut": "truncated",
    "bytes": "truncated",
    "sound": "no_frames",
  }
  again = pickle.loads(pickle.dumps(Unreadable("empty", "a.mp4", "is empty.")))
  assert again.reason == "empty" and str(again) == "a.mp4 is empty."


def test_pictures_that_end_early_are_told(tmp_path):
  # All that describes the pictures comes first, and the last third of them is missing.
  noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
  path = encode(tmp_path / "a.mp4", pictures=noise, container_options={"movflags": "+faststart"})
  data = path.read_bytes()
  path.write_bytes(data[: 2 * len(data) // 3])
  assert probe(path).seconds == 2
  assert len(read_frames(path, np.arange(10) / 10, 48, 64)) == 10
  assert reason(read_frames, path, np.arange(20) / 10, 48, 64) == "truncated"
  whole = encode(tmp_path / "b.mp4")
  assert len(read_frames(whole, [1.9, 2.0, 2.3], 48, 64)) == 3
  assert reason(read_frames, whole, [1.9, 3], 48, 64) == "truncated"
  with pytest.raises(ValueError, match="non-decreasing"):
    read_frames(whole, [1, 0.5], 48, 64)


def test_broken_pictures_are_a_decoders_error(tmp_path):
  path = encode(tmp_path / "a.mov", "prores_ks", pixel_format="yuv422p10le")
  data = bytearray(path.read_bytes())
  begin, end = data.find(b"icpf"), data.find(b"moov")
  data[begin:end] = bytes(end - begin)
  path.write_bytes(data)
  assert reason(probe, path) in ("decoder_error", "no_frames")


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
  path = encode(tmp_path / "a.avi", "mjpeg", frames=2, pixel_format="yuvj420p")
  data = path.read_bytes()
  # The container says 64 x 48; the picture, a kilobyte, 65,000 x 65,000.
  size = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 48, 64)
  assert data.count(size) == 2
  bomb = data.replace(size, size[:5] + struct.pack(">HH", 65_000, 65_000))
  assert reason(probe, bomb) in ("too_large", "decoder_error", "no_frames")
  # The container says it: elements 0xB0 and 0xBA of Matroska, two bytes each.
  path = encode(tmp_path / "b.mkv", "ffv1", frames=1, height=260, width=300, pixel_format="bgr0")
  size = b"\xb0\x82" + struct.pack(">H", 300) + b"\xba\x82" + struct.pack(">H", 260)
  assert path.read_bytes().count(size) == 1
  wide = path.read_bytes().replace(size, b"\xb0\x82\x20\x00\xba\x82\x20\x00")
  assert reason(probe, wide) == "too_large"
  # Three pictures, the last after seven hours.
  for end in (".mp4", ".mkv"):
    long = encode(tmp_path / f"long{end}", frames=3, ticks=(0, 40, 7 * 3600 * 1000))
    assert reason(probe, long) == reason(read_frames, long, [0], 8, 8) == "too_long"
  # A line, which to cover a picture would have to be millions of pixels long.
  thin = np.zeros((2, 2000, 3), np.uint8)
  line = encode(tmp_path / "c.mkv", "ffv1", height=2, width=2000, pixel_format="bgr0", pictures=[thin])
  assert reason(read_frames, line, [0], 512, 512) == "too_large"


def test_a_recording_that_was_never_finished_is_as_long_as_its_pictures(tmp_path):
  path = encode(tmp_path / "a.mkv", frames=20, container_options={"live": "1"})
  with av.open(str(path)) as file:
    assert not file.duration and not file.streams.video[0].duration
  assert probe(path).seconds == pytest.approx(2, abs=0.01)
  assert distance(read_frames(path, [1.5], 48, 64)[0], 15) < 8


def test_names_are_never_addresses(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shutil.copy(encode(tmp_path / "a.mp4"), "concat:a.mp4|b%02d.mp4")
  assert isinstance(probe("concat:a.mp4|b%02d.mp4"), Probe)
  os.remove("a.mp4")
  assert isinstance(probe("concat:a.mp4|b%02d.mp4"), Probe)


def test_pictures_come_one_by_one(tmp_path):
  path = encode(tmp_path / "a.mp4", frames=20)
  asked = []

  def times():
    for k in range(10**9):
      asked.append(k)
      yield k / 10

  shown = frames_at(path, times(), 48, 64)
  assert [distance(next(shown), k) < 8 for k in range(4)] == [True] * 4
  assert len(asked) <= 5
