"""What is written is read back by other hands: PyAV decodes, lxml parses, NumPy loads."""

import json

import av
import numpy as np
import pytest
from lxml import etree

from stale_jax.data import Digits
from stale_jax.data.decode.effects import read_effects
from stale_jax.data.sources.digits import PITCHES
from stale_jax.errors import UserError
from stale_jax.media import (
  read_arrays,
  save_movie,
  synthesise,
  write_page,
  write_sem,
  write_video,
)
from stale_jax.media.picture import enlarge, to_bytes
from stale_jax.media.sem import SEDL, SI, XSI, _runs
from tests.media.examples import BODY, CLIP, EXAMPLE, SENSES, decaying, movie, sense, walk


def decode(path):
  with av.open(str(path)) as file:
    frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    rate = float(file.streams.video[0].average_rate)
    audio = None
  with av.open(str(path)) as file:
    if file.streams.audio:
      parts = [frame.to_ndarray() for frame in file.decode(audio=0)]
      audio = np.concatenate(parts, 1)[0]
  return frames, rate, audio


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm")])
def test_a_video_decodes_to_what_went_in(tmp_path, codec, suffix):
  path = tmp_path / f"a{suffix}"
  write_video(path, CLIP, SENSES, codec)
  frames, rate, audio = decode(path)
  want = enlarge(to_bytes(CLIP["sight"]))
  assert frames.shape == want.shape == (8, 256, 256, 3) and rate == 8
  assert np.abs(frames.astype(float) - want).mean() < 6
  # As long as the picture, give or take a codec's block.
  assert abs(len(audio) - 48000) <= 1024
  pitch = PITCHES[EXAMPLE["labels"]["digit"]]
  spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
  assert abs(spectrum.argmax() * 48000 / len(audio) - pitch) < 3
  # Above all pitches, energy begins where the sense says a click is.
  high = np.fft.irfft(
    np.where(np.arange(len(audio) // 2 + 1) * 48000 / len(audio) > 3000, np.fft.rfft(audio), 0)
  )
  energy = np.add.reduceat(np.square(high), np.arange(0, 8 * 6000, 6000))
  clicks = CLIP["sound"][:, -1] > 0
  assert energy[clicks].min() > 5 * energy[~clicks].max()


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm")])
def test_sound_is_aligned_within_a_millisecond(tmp_path, codec, suffix):
  path = tmp_path / f"a{suffix}"
  sound = -np.ones((8, len(PITCHES) + 1))
  sound[[1, 3, 6], -1] = 1  # Clicks, at these frames.
  write_video(path, {"sight": CLIP["sight"], "sound": sound}, SENSES, codec)
  with av.open(str(path)) as file:
    assert next(iter(file.decode(video=0))).pts == 0
  with av.open(str(path)) as file:
    pieces = [(float(frame.time), frame.to_ndarray()[0]) for frame in file.decode(audio=0)]
  # By its time stamps, and by counting samples.
  heard, counted = np.zeros(2 * 48000), np.concatenate([piece for _, piece in pieces])
  for time, piece in pieces:
    start = round(time * 48000)
    heard[start : start + len(piece)] = piece
  want = synthesise(sound, SENSES["sound"])
  for wave in (heard, counted):
    for frame in (1, 3, 6):
      about = slice(6000 * frame - 1500, 6000 * frame + 3000)
      lag = np.correlate(wave[about], want[about], "full").argmax() - (about.stop - about.start - 1)
      assert abs(lag) <= 48
  # Opus and AAC start with samples to be dropped: their delay is stated, or sound would be late by it.
  with av.open(str(path)) as file:
    first = next(file.demux(audio=0))
    assert float(first.pts * first.time_base) == pytest.approx(
      -1024 / 48000 if codec == "h264" else -0.0065, abs=1e-3
    )


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm")])
def test_a_file_keeps_both_ears(tmp_path, codec, suffix):
  steps = walk()
  write_video(tmp_path / f"a{suffix}", steps.clip, steps.described(), codec)
  with av.open(str(tmp_path / f"a{suffix}")) as file:
    assert file.streams.audio[0].layout.name == "stereo"
    heard = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], 1)
  assert heard.shape[0] == 2 and abs(heard.shape[1] - 96000) <= 1024
  # The left ear hears the step twice as loud as the right ear: four times the energy.
  want = synthesise(steps.clip["sound"], steps.described()["sound"])
  for first, last in ((8, 12), (12, 16)):
    frames = slice(6000 * first, 6000 * last)
    left, right = np.square(heard[:, frames].astype(np.float64)).sum(1)
    assert left / right == pytest.approx(4, rel=0.1)
    assert left == pytest.approx(np.square(want[frames, 0].astype(np.float64)).sum(), rel=0.15)
  assert np.abs(heard[:, : 6000 * 8 - 2000]).max() < 0.01
  # One ear is still one channel.
  write_video(tmp_path / f"b{suffix}", CLIP, SENSES, codec)
  with av.open(str(tmp_path / f"b{suffix}")) as file:
    assert file.streams.audio[0].layout.name == "mono"


@pytest.mark.parametrize("rate", [7.3, 23.976, 30000 / 1001])
def test_picture_and_sound_keep_time_at_any_rate(tmp_path, rate):
  source = Digits(rate=rate)
  write_video(tmp_path / "a.mp4", source[0]["clip"], source.senses)
  with av.open(str(tmp_path / "a.mp4")) as file:
    for stream in file.streams:
      assert abs(float(stream.duration * stream.time_base) - 8 / rate) < 2e-3 and stream.start_time == 0
    times = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
  np.testing.assert_allclose(times, np.arange(8) / rate, atol=1e-4)


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm")])
def test_colours_are_said_and_kept(tmp_path, codec, suffix):
  colours = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [0, 0.5, -0.5]])
  sight = np.broadcast_to(colours[:, None, None], (5, 16, 16, 3))
  write_video(tmp_path / f"a{suffix}", {"sight": sight}, SENSES, codec)
  frames, _, _ = decode(tmp_path / f"a{suffix}")
  assert np.abs(frames.mean((1, 2)) - to_bytes(colours)).max() < 6
  with av.open(str(tmp_path / f"a{suffix}")) as file:
    context = file.streams.video[0].codec_context
    assert (context.colorspace, context.color_range) == (1, 1)


def test_odd_sizes_and_silence(tmp_path):
  rng = np.random.default_rng(0)
  write_video(tmp_path / "a.mp4", {"sight": rng.uniform(-1, 1, (3, 301, 257, 3))}, SENSES)
  frames, _, audio = decode(tmp_path / "a.mp4")
  assert frames.shape == (3, 302, 258, 3) and audio is None
  with pytest.raises(UserError, match="'h264'"):
    write_video(tmp_path / "b.mp4", CLIP, SENSES, "h265")
  with pytest.raises(UserError, match="sight"):
    write_video(tmp_path / "b.mp4", {"sound": CLIP["sound"]}, SENSES)


def test_sound_is_bounded_continuous_and_as_long_as_its_frames():
  loud = np.ones((8, len(PITCHES) + 1))
  for sound in (loud, CLIP["sound"], -loud):
    wave = synthesise(sound, SENSES["sound"])
    assert wave.shape == (48000,) and np.abs(wave).max() <= 1
  assert not np.any(wave)
  tone = -np.ones((8, len(PITCHES) + 1))
  tone[2:5, 0] = 1
  wave = synthesise(tone, SENSES["sound"])
  # No jump larger than the sine's own slope: notes begin and end without a click.
  assert np.abs(np.diff(wave)).max() < 1.2 * 0.4 * 2 * np.pi * PITCHES[0] / 48000
  assert not np.any(wave[: 48000 // 8]) and np.abs(wave[18000:24000]).max() > 0.39


def test_a_click_is_heard_wherever_it_is_and_only_there():
  for onset in (0, 3, 7):
    sound = -np.ones((8, len(PITCHES) + 1))
    sound[onset:, -1] = 1  # It lasts, and yet it clicks once.
    loud = np.abs(synthesise(sound, SENSES["sound"]).reshape(8, 6000)).max(1)
    assert loud[onset] > 0.3 and np.count_nonzero(loud) == 1
  # Silence stays silence however long, and nothing overflows.
  with np.errstate(all="raise"):
    long = np.tile(CLIP["sound"], (20, 1))
    assert np.isfinite(synthesise(long, SENSES["sound"])).all()


def test_effects_are_valid_and_at_the_right_time(tmp_path):
  count = write_sem(tmp_path / "a.xml", CLIP, SENSES)
  root = etree.parse(str(tmp_path / "a.xml")).getroot()
  assert root.tag == f"{{{SEDL}}}SEM" and root.get(f"{{{SI}}}timeScale") == "90000"
  effects = root.findall(f"{{{SEDL}}}Effect")
  assert len(effects) == count > 0
  times = [int(e.get(f"{{{SI}}}pts")) for e in effects]
  assert times == sorted(times)
  allowed = {
    "activate",
    "duration",
    "location",
    "intensity-value",
    "intensity-range",
    "scent",
    "sprayingType",
  }
  felt = np.zeros((8, 4))
  for effect in effects:
    kind = effect.get(f"{{{XSI}}}type")
    # The prefix in the attribute's value must be bound.
    assert effect.nsmap[kind.split(":")[0]].endswith("SEV-NS")
    assert {key for key in effect.attrib if "}" not in key} <= allowed
    assert effect.get("activate") == "true" and 0 < int(effect.get("intensity-value")) <= 100
    if kind == "sev:SprayingType":
      assert effect.get("sprayingType").startswith("urn:stale_jax:taste:")
    if kind == "sev:ScentType":
      assert effect.get("scent").startswith("urn:mpeg:mpeg-v:01-SI-ScentCS-NS:")
    if kind == "sev:VibrationType":
      start, frames = int(effect.get(f"{{{SI}}}pts")) // 11250, int(effect.get("duration")) // 11250
      place = effect.get("location").split("NS:")[1]
      wall = ["left:*:*", "right:*:*", "*:top:*", "*:bottom:*"].index(place)
      felt[start : start + frames, wall] = int(effect.get("intensity-value")) / 100
  level = (CLIP["touch"] + 1) / 2
  np.testing.assert_allclose(felt, np.where(level >= 0.1, level, 0), atol=0.05)


def test_touch_of_a_body_is_a_vibration_at_its_place(tmp_path):
  touch = np.stack([decaying(16, (2 + i, 1.0)) for i in range(5)], -1)
  write_sem(tmp_path / "a.xml", {"touch": touch}, {"touch": sense("touch", *BODY)})
  places = {
    effect.get("location"): int(effect.get(f"{{{SI}}}pts")) // 11250
    for effect in etree.parse(str(tmp_path / "a.xml")).getroot().findall(f"{{{SEDL}}}Effect")[::-1]
  }
  terms = ["left:bottom", "right:bottom", "left:middle", "right:middle", "center:middle"]
  assert places == {
    f"urn:mpeg:mpeg-v:01-SI-LocationCS-NS:{term}:midway": 2 + i for i, term in enumerate(terms)
  }
  # It is read as the channels that were written.
  read = read_effects((tmp_path / "a.xml").read_bytes())["touch"]
  assert {name: (events[0].start, events[0].level) for name, events in read.items()} == {
    name: ((2 + i) / 8, 1.0) for i, name in enumerate(BODY)
  }


def test_effects_neither_flicker_nor_miss_an_impact():
  def runs(*level, least=1):
    return [tuple(run) for run in _runs(np.array(level), least)]

  # Held while it wavers by less than a tenth, then followed.
  assert runs(0.5, 0.55, 0.47, 0.58, 0.7) == [(0, 4, 50), (4, 5, 70)]
  # Begins above .2, ends below .1.
  assert runs(0.15, 0.2, 0.12, 0.09, 0.15) == [(1, 3, 20)]
  # One frame's impact lasts long enough to be felt, at its full strength.
  assert runs(0, 0.3, 1, 0, 0, 0, least=3) == [(1, 4, 100)]
  assert runs(0, 0, 0, 0, 0, 1, least=3) == [(5, 6, 100)]
  noisy = 0.5 + np.random.default_rng(0).normal(0, 0.03, 240)
  assert len(runs(*noisy, least=3)) < 12


def test_a_movie_without_effects_leaves_no_old_ones(tmp_path):
  silent = {name: x if name == "sight" else -np.ones_like(x) for name, x in CLIP.items()}
  for clip, count in ((CLIP, 4), (silent, 3)):
    save_movie(tmp_path, "a", clip, SENSES, {})
    assert len(list(tmp_path.iterdir())) == count


def test_a_description_without_effects_is_not_written(tmp_path):
  still = {name: -np.ones_like(x) for name, x in CLIP.items()}
  assert write_sem(tmp_path / "a.xml", still, SENSES) == 0
  assert not (tmp_path / "a.xml").exists()


def test_arrays_are_exact_and_described(tmp_path):
  video = movie().save(tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    "a-red-seven-5.json",
    "a-red-seven-5.mp4",
    "a-red-seven-5.npz",
    "a-red-seven-5.sem.xml",
  ]
  clip, senses, info = read_arrays(video.with_suffix(""))
  assert info == {"prompt": "a red seven", "seed": 5, "model": "test", "steps": 3}
  for name, x in CLIP.items():
    assert clip[name].dtype == x.dtype and senses[name] == SENSES[name]
    np.testing.assert_array_equal(clip[name], x)
  json.loads(video.with_suffix(".json").read_text())
  whole = video.with_suffix(".npz").read_bytes()
  for broken in (b"", b"junk", whole[: len(whole) // 2], whole[:200] + bytes(50) + whole[250:]):
    video.with_suffix(".npz").write_bytes(broken)
    with pytest.raises(UserError, match="cannot read the arrays"):
      read_arrays(video.with_suffix(""))
  with pytest.raises(UserError, match="cannot read the arrays"):
    read_arrays(tmp_path / "nothing")


def test_an_unwritable_folder_and_a_bad_codec_leave_nothing(tmp_path):
  (tmp_path / "file").write_text("mine")
  with pytest.raises(UserError, match="cannot write to"):
    movie().save(tmp_path / "file" / "movies")
  with pytest.raises(UserError, match="unknown codec"):
    movie().save(tmp_path / "new", codec="mpeg9")
  with pytest.raises(UserError, match="cannot write"):
    write_page(tmp_path / "file" / "index.html", [], [], "", "")
  assert [p.name for p in tmp_path.iterdir()] == ["file"]
  (tmp_path / "index.html").mkdir()
  with pytest.raises(UserError, match="cannot write"):
    write_page(tmp_path / "index.html", [], [], "", "")
  assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "index.html"]
