"""Sound for two ears: where it is, when it begins, how loud it is; and for one ear, as it always was."""

import numpy as np
import pytest

from stale_jax.data import Digits
from stale_jax.media import instruments, synthesise
from stale_jax.media.ears import by_ear
from stale_jax.media.sound import _onsets
from tests.media.examples import decaying, sense

RATE = 48_000
EVENTS = ("step", "landing", "chime", "262 Hz", "440 Hz")
KINDS = (*EVENTS, "motor", "whoosh")
STEREO = sense("sound", *(f"{kind} {ear}" for kind in KINDS for ear in ("left", "right")))


def panned(kind, left, right, frames=16):
  """A clip in which one kind sounds, with the values `left` and `right`."""
  sound = -np.ones((frames, len(STEREO.channels)))
  sound[:, STEREO.channels.index(f"{kind} left")] = left
  sound[:, STEREO.channels.index(f"{kind} right")] = right
  return sound


def energy(wave):
  """The energy of each frame and ear."""
  return np.square(wave.astype(np.float64)).reshape(-1, RATE // 8, 2).sum(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 1.0])
def test_each_ear_hears_its_own_intensity(kind, place):
  left, right = 0.8 * np.cos(place * np.pi / 2), 0.8 * np.sin(place * np.pi / 2)
  sound = panned(kind, decaying(16, (4, left)), decaying(16, (4, right)))
  wave = synthesise(sound, STEREO)
  assert wave.shape == (2 * RATE, 2) and wave.dtype == np.float32
  heard = energy(wave).sum(0)
  # The brightness of a whoosh follows its loudness.
  power = 2 if kind != "whoosh" else 3
  share = left**power / (left**power + right**power)
  assert heard[0] / heard.sum() == pytest.approx(share, abs=1e-6 if kind != "whoosh" else 0.06)


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_is_heard_in_its_frame_and_not_before(kind):
  sound = panned(kind, decaying(16, (5, 0.6)), decaying(16, (5, 0.1)))
  heard = energy(synthesise(sound, STEREO))
  assert not heard[:5].any() and (heard[5] > 0).all()
  assert heard[5].sum() > 0.2 * heard.sum() and heard[:, 0].argmax() == 5


@pytest.mark.parametrize("rate", [4.0, 8.0, 24.0])
@pytest.mark.parametrize("strength", [0.15, 0.5, 1.0])
def test_every_step_is_an_event_wherever_it_is_and_however_quiet(rate, strength):
  # Two steps per second, which walk from the left to the right.
  frames = [round(rate * (0.25 + 0.5 * i)) for i in range(6)]
  place = np.linspace(0, np.pi / 2, 6)
  levels = [
    (decaying(round(3.5 * rate), *zip(frames, strength * gain, strict=True), rate=rate) + 1) / 2
    for gain in (np.cos(place), np.sin(place))
  ]
  assert np.flatnonzero(_onsets(np.stack(levels, -1), rate)).tolist() == frames


def test_steps_in_every_frame_are_events_if_a_frame_is_longer_than_their_decay():
  steps = decaying(12, *((frame, 0.7) for frame in range(2, 12)), rate=4.0)
  level = np.stack([(steps + 1) / 2] * 2, -1)
  assert np.flatnonzero(_onsets(level, 4.0)).tolist() == list(range(2, 12))


def test_quiet_events_are_quiet():
  loud = [
    np.abs(synthesise(panned("step", decaying(16, (4, s)), decaying(16, (4, s))), STEREO)).max()
    for s in (0.15, 0.9)
  ]
  assert loud[0] > 0.05 and loud[1] == pytest.approx(6 * loud[0], rel=1e-3)


@pytest.mark.parametrize("frame_rate", [8.0, 24.0])
def test_what_a_model_leaves_in_its_channels_does_not_rattle(frame_rate):
  rng = np.random.default_rng(0)
  names = STEREO.channels
  stereo = sense("sound", *names, rate=frame_rate)
  silence = -1 + 0.03 * rng.standard_normal((400, len(names)))
  assert not synthesise(np.clip(silence, -1, 1), stereo, 8000).any()
  # Nor does it add to events while they decay.
  frames = [5, 40, 80, 200]
  steps = decaying(400, *((frame, 0.9) for frame in frames), rate=frame_rate)
  level = (np.clip(steps[:, None] + 0.03 * rng.standard_normal((400, 2)), -1, 1) + 1) / 2
  assert np.flatnonzero(_onsets(level, frame_rate)).tolist() == frames


def test_a_motor_is_as_loud_as_its_intensity_without_a_crack():
  rising = panned("motor", np.linspace(-1, 1, 16), np.linspace(1, -1, 16))
  wave = synthesise(rising, STEREO)
  heard = np.sqrt(energy(wave))
  assert (np.diff(heard[2:-1, 0]) > 0).all() and (np.diff(heard[1:-2, 1]) < 0).all()
  assert np.abs(np.diff(wave, axis=0)).max() < 0.05


def test_every_sound_of_two_ears_is_bounded_and_as_long_as_its_frames():
  for rate, frames in ((8.0, 16), (7.3, 5), (23.976, 31)):
    stereo = sense("sound", *STEREO.channels, rate=rate)
    for value in (-1, 0, 1):
      wave = synthesise(np.full((frames, len(stereo.channels)), float(value)), stereo)
      assert wave.shape == (round(frames * RATE / rate), 2) and np.abs(wave).max() <= 1
      assert wave.any() == (value >= 0)
  # What rings on fades at the end, so that the movie loops without a crack.
  wave = synthesise(panned("chime", decaying(16, (14, 1.0)), decaying(16, (14, 1.0))), STEREO)
  assert np.abs(wave[-1000:-600]).max() > 0.1 and np.abs(wave[-5:]).max() < 1e-3


def test_instruments_differ_as_they_should():
  def middle(wave):
    """The mean frequency."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return (power * np.fft.rfftfreq(wave.size, 1 / RATE)).sum() / power.sum()

  ones = np.ones(RATE)
  pitches = [
    middle(wave)
    for wave in (
      instruments.landing(RATE),
      instruments.step(RATE),
      instruments.whoosh(ones, RATE),
      instruments.chime(RATE),
    )
  ]
  assert pitches[0] < 150 < pitches[1] < 300 < 900 < pitches[2] and 900 < pitches[3] < 2500
  assert middle(instruments.motor(ones, RATE)) < 200
  # A chime rings longer than a step, and a string sounds its pitch.
  length = {name: np.square(instruments.STRUCK[name](RATE)).cumsum() for name in ("step", "chime")}
  half = {name: np.searchsorted(total, total[-1] / 2) for name, total in length.items()}
  assert half["chime"] > 4 * half["step"]
  for pitch in (262.0, 440.0):
    string = instruments.pluck(pitch, RATE)
    assert np.abs(np.fft.rfft(string)).argmax() * RATE / string.size == pytest.approx(pitch, abs=1)


def test_a_channel_without_an_ear_is_heard_with_both():
  both = sense("sound", "step left", "step right", "262 Hz", "click")
  sound = -np.ones((8, 4))
  sound[:, 2] = 0.6
  sound[3, 3] = 1
  wave = synthesise(sound, both)
  mono = synthesise(sound[:, 2:], sense("sound", "262 Hz", "click"))
  assert wave.shape == (RATE, 2) and mono.shape == (RATE,)
  np.testing.assert_array_equal(wave, np.stack([mono, mono], -1))


def test_ears_are_the_last_word_of_a_name():
  level = np.arange(10.0).reshape(2, 5)
  names = ("hum right", "left", "left foot", "hum left", "bell left")
  parts = by_ear(level, names)
  assert [(part.name, part.is_panned) for part in parts] == [
    ("hum", True),
    ("left", False),
    ("left foot", False),
    ("bell", True),
  ]
  np.testing.assert_array_equal(parts[0].level, level[:, [3, 0]])
  np.testing.assert_array_equal(parts[1].level, level[:, [1, 1]])
  np.testing.assert_array_equal(parts[3].level, np.stack([level[:, 4], [0, 0]], -1))


@pytest.mark.parametrize("rate", [8.0, 24.0])
def test_sound_of_one_ear_is_sines_and_clicks(rate):
  source = Digits(rate=rate, frames=24)
  sound, senses = source[7]["clip"]["sound"], source.senses["sound"]
  level = np.clip((sound + 1) / 2, 0, 1)
  samples = round(24 * RATE / rate)
  now = np.arange(samples) / RATE
  middle = (np.arange(24) + 0.5) / rate
  flat = 0.5 / rate - 0.006
  knots = np.stack([middle - flat, middle + flat], -1).ravel()
  want = sum(
    0.4 * np.interp(now, knots, np.repeat(level[:, i], 2)) * np.sin(2 * np.pi * int(name.split()[0]) * now)
    for i, name in enumerate(senses.channels[:-1])
  )
  want *= np.clip(np.minimum(now, samples / RATE - now) / 0.012, 0, 1)
  since = np.arange(2400) / RATE
  burst = 0.5 * np.random.default_rng(0).uniform(-1, 1, 2400) * np.exp(-since / 0.01)
  clicks = np.flatnonzero(np.diff(np.append(0, level[:, -1] >= 0.5)) > 0)
  assert clicks.size
  for frame in clicks:
    start = round(frame * RATE / rate)
    want[start : start + 2400] += burst[: samples - start]
  wave = synthesise(sound, senses)
  assert wave.shape == (samples,)
  np.testing.assert_allclose(wave, want / max(np.abs(want).max(), 1), atol=1e-6)
