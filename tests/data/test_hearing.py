"""The sense of real sound: the right band, as loud as it is, in the right frame."""

import numpy as np
import pytest

from stale_jax.clip import Sense, intensity
from stale_jax.data.decode.hearing import CHANNELS, PITCHES, RATE, hear
from stale_jax.media.sound import synthesise


def sine(pitch, seconds=2.0, amplitude=1.0):
  return amplitude * np.sin(2 * np.pi * pitch * np.arange(round(seconds * RATE)) / RATE)


@pytest.mark.parametrize("frames", [4, 16, 48])
def test_a_sine_is_heard_in_its_band_as_loud_as_it_is(frames):
  for band, pitch in enumerate(PITCHES):
    for amplitude in (1, 0.25, 0.01):
      level = intensity(hear(sine(pitch, amplitude=amplitude), frames))
      assert level.shape == (frames, 12) and (level.argmax(1) == band).all()
      np.testing.assert_allclose(level[1:-1, band], amplitude**0.5, rtol=0.03)
      assert np.delete(level, band, 1)[1:-1].max() < 0.35 * amplitude**0.5


def test_silence_is_silent_noise_is_everywhere_and_nothing_leaves_the_box():
  assert (hear(np.zeros(RATE, np.float32), 8) == -1).all()
  noise = np.random.default_rng(0).uniform(-1, 1, RATE)
  sound = hear(noise, 8)
  assert (sound > -0.9).all() and sound.dtype == np.float32
  assert np.abs(hear(np.sign(sine(440)), 8)).max() <= 1


def test_it_is_heard_when_it_sounds():
  wave = np.concatenate([np.zeros(RATE), sine(440, 1)])
  level = intensity(hear(wave, 16))[:, PITCHES.index(440)]
  assert level[:7].max() < 0.05 and level[9:15].min() > 0.95


def test_what_is_heard_can_be_played_again():
  sense = Sense(name="sound", shape=(12,), rate=8.0, patch=(4,), channels=CHANNELS)
  sound = np.full((16, 12), -1, np.float32)
  sound[:, 4] = 1
  again = hear(synthesise(sound, sense, RATE), 16)
  assert (again[1:-1].argmax(1) == 4).all() and again[1:-1, 4].min() > 0.2
