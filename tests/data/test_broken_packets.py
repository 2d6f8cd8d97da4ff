"""Empty and broken packets: they cost no more than themselves, and nothing is made up in their place."""

import av
import numpy as np
import pytest

from stale_jax.data import build_source
from stale_jax.data.curate.encode import encode as encode_clip
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import probe, read_frames
from tests.data.clips import colour, encode
from tests.data.theora import film, key_frame


def test_an_empty_packet_repeats_the_picture_before_it():
  dark, light = key_frame(light=False), key_frame(light=True)
  video = film([dark, *[b""] * 6, light, *[b""] * 12], rate=10)
  assert probe(video).seconds == pytest.approx(2.0)
  frames = read_frames(video, np.arange(20) / 10, 32, 32)
  means = frames.mean((1, 2, 3))
  np.testing.assert_allclose(means[:7], means[0], atol=1)
  np.testing.assert_allclose(means[7:], means[0] + 86, atol=2)
  for time in (0.65, 0.7, 1.95):  # From anywhere.
    np.testing.assert_array_equal(read_frames(video, [time], 32, 32)[0], frames[int(10 * time + 1e-6)])
  with pytest.raises(Unreadable, match="ends at"):
    read_frames(video, [2.6], 32, 32)


def test_a_packet_that_codes_no_change_repeats_the_picture_before_it(tmp_path):
  encode(tmp_path / "a.avi", "mpeg4", frames=10, options={"g": "5"})
  unchanged = bytes.fromhex("000001b6509f")  # A VOP that is not coded (ISO/IEC 14496-2).
  times = iter(range(100))
  remux(tmp_path / "a.avi", tmp_path / "b.avi", lambda data: [(data, next(times)), (unchanged, next(times))])
  frames = read_frames(tmp_path / "b.avi", np.arange(20) / 10, 48, 64)
  assert [k for k in range(20) if not shows(frames[k], k // 2)] == []
  assert probe(tmp_path / "b.avi").seconds == pytest.approx(2.0)


def remux(source, target, change):
  """Copies the packets of a video; `change` maps the bytes of each to pairs of bytes and time."""
  with av.open(str(source)) as old, av.open(str(target), "w") as new:
    stream = new.add_stream_from_template(old.streams.video[0])
    for packet in old.demux(video=0):
      for data, time in change(bytes(packet)) if packet.size else ():
        copy = av.Packet(data)
        copy.pts = copy.dts = time
        copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, stream
        new.mux(copy)


def shows(pixels, frame):
  """Whether it is that frame of `clips.picture`."""
  return np.abs(pixels[36, 48].astype(int) - colour(frame)).max() < 12


def spoil(path, kind, numbers):
  """Overwrites the packets of these numbers of a stream, but for their first byte."""
  with av.open(str(path)) as file:
    packets = [packet for packet in file.demux(**{kind: 0}) if packet.size]
    places = [(packets[i].pos, packets[i].size, packets[i].pts * packets[i].time_base) for i in numbers]
  data = bytearray(path.read_bytes())
  for position, size, _ in places:
    data[position + 1 : position + size] = (b"Z\xff" * size)[: size - 1]
  path.write_bytes(data)
  return [float(time) for _, _, time in places]


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_one_broken_picture_is_replaced_by_the_one_before(tmp_path, codec):
  # Every picture is a key frame, so that the others do not depend on it.
  path = encode(
    tmp_path / "a.mp4",
    codec,
    frames=30,
    pixel_format={"mjpeg": "yuvj420p"}.get(codec, "yuv420p"),
    options={"g": "1"},
  )
  spoil(path, "video", [12])
  frames = read_frames(path, np.arange(30) / 10, 48, 64)
  assert [k for k in range(30) if not shows(frames[k], 11 if k == 12 else k)] == []
  for k in (11, 12, 13, 29):
    np.testing.assert_array_equal(read_frames(path, [k / 10 + 0.05], 48, 64)[0], frames[k])


def test_many_broken_pictures_are_not_replaced_by_one(tmp_path):
  path = encode(tmp_path / "a.mp4", "mjpeg", frames=40, pixel_format="yuvj420p")
  spoil(path, "video", range(10, 30))
  for start in (0, 30):
    frames = read_frames(path, (start + np.arange(10)) / 10, 48, 64)
    assert [k for k in range(10) if not shows(frames[k], start + k)] == []
  for times in ([1.0, 1.3], [1.35]):  # For half a second, the picture at .9.
    assert all(shows(pixels, 9) for pixels in read_frames(path, times, 48, 64))
  for times in ([0.5, 1.6], [1.6], [2.9]):
    with pytest.raises(Unreadable, match="has no picture at") as caught:
      read_frames(path, times, 48, 64)
    assert caught.value.reason == "decoder_error"


def test_pictures_after_a_broken_key_frame_are_not_shown(tmp_path):
  # Grey that gets lighter: from a broken key frame on, the pictures would be wrong by little.
  grey = np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None, None] * 6 + 40, (30, 48, 64, 3))
  path = encode(tmp_path / "a.mp4", pictures=grey, options={"g": "10"})
  spoil(path, "video", [10])
  want = np.arange(30) * 6 + 40
  frames = read_frames(path, np.array([*range(10), *range(20, 30)])[:10] / 10, 48, 64)
  np.testing.assert_allclose(frames.mean((1, 2, 3)), want[:10], atol=4)
  with pytest.raises(Unreadable, match="can be decoded"):
    read_frames(path, [1.8], 48, 64)
  np.testing.assert_allclose(
    read_frames(path, np.arange(20, 30) / 10, 48, 64).mean((1, 2, 3)), want[20:], atol=4
  )


@pytest.fixture
def broken_sound(tmp_path):
  """A video of four seconds with one broken packet of sound, and its time."""
  (tmp_path / "in").mkdir()
  path = encode(tmp_path / "in" / "a.mp4", frames=40, tones=(440,))
  (time,) = spoil(path, "audio", [95])
  assert 1.9 < time < 2.1
  return path, time


def test_where_a_packet_of_sound_is_broken_there_is_no_sound(broken_sound):
  path, time = broken_sound
  assert probe(path).has_sound
  for start in np.arange(0, 3.6, 0.1):
    wave = read_sound(path, 16_000, start, 0.4)
    touches = start < time + 0.05 and start + 0.4 > time
    if wave is None:
      assert touches
    else:
      # The whole tone, and no noise.
      assert not start < time < start + 0.4
      assert np.std(wave[400:-400]) == pytest.approx(0.5 / 2**0.5, rel=0.05)
  assert read_sound(path, 16_000, 0, 4) is None
  frames = read_frames(path, np.arange(40) / 10, 48, 64)
  assert [k for k in range(40) if not shows(frames[k], k)] == []


def test_such_examples_lack_the_sound_alone(broken_sound):
  path, time = broken_sound
  fields = {"frames": 4, "height": 24, "width": 32, "rate": 5.0, "patch": (2, 8, 8), "held_out": 0.0}
  source = build_source({"name": "folder", "path": str(path.parent), **fields})
  heard = ["sound" in source[index]["clip"] for index in range(60)]
  # Windows of .8 s, anywhere in 3.2 s, of which a quarter contains the packet.
  assert 8 <= 60 - sum(heard) <= 30


def test_a_clip_with_broken_sound_is_curated_without_it(broken_sound, tmp_path):
  path, _ = broken_sound
  how = {"short_side": 48, "most_rate": 10.0, "captioner": "", "known": ""}
  for start, end, has_sound in ((0.0, 1.5, True), (1.5, 3.0, False), (2.5, 4.0, True)):
    out = tmp_path / f"{start}.mp4"
    assert encode_clip(str(path), str(out), start, end, **how)["has_sound"] == has_sound
    assert probe(out).has_sound == has_sound and len(read_frames(out, np.arange(15) / 10, 48, 64)) == 15
