"""Sensory tracks beside a video: our own exports, and what others write."""

import json

import numpy as np
import pytest

from stale_jax.clip import Sense
from stale_jax.data import Digits
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.tracks import read_tracks
from stale_jax.media import save_movie

SOURCE = Digits(frames=24, rate=8.0)
SENSES = {name: SOURCE.senses[name] for name in ("touch", "smell", "taste")}


def sense(name, *channels):
  return {name: Sense(name=name, shape=(len(channels),), rate=8.0, patch=(1,), channels=channels)}


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
  folder = tmp_path_factory.mktemp("movie")
  clip = {name: value for name, value in SOURCE[3]["clip"].items() if name != "balance"}
  return save_movie(folder, "movie", clip, SOURCE.senses, {}), clip


def test_arrays_come_back_as_they_were(movie, tmp_path):
  path, clip = movie
  got = read_tracks(path, SENSES, np.arange(24) / 8)
  assert set(got) == set(SENSES)
  for name, values in got.items():
    np.testing.assert_allclose(values, clip[name], atol=1e-6)
  # Every other frame, from the second second on, and nothing after the end.
  got = read_tracks(path, SENSES, 1 + np.arange(12) / 4)["smell"]
  np.testing.assert_allclose(got[:8], clip["smell"][8::2], atol=1e-6)
  assert (got[8:] == -1).all()
  # Channels are known by name, in any order; those that are not there are nothing.
  got = read_tracks(path, sense("touch", "top", "nothing", "left"), np.arange(24) / 8)["touch"]
  np.testing.assert_allclose(got[:, [0, 2]], clip["touch"][:, [2, 0]], atol=1e-6)
  assert (got[:, 1] == -1).all()
  assert read_tracks(tmp_path / "other.mp4", SENSES, np.arange(4)) == {}
  assert read_tracks(path, {}, np.arange(4)) == {}


def test_the_effects_of_our_export_are_as_near_as_they_say(movie, tmp_path):
  path, clip = movie
  (tmp_path / "movie.sem.xml").write_bytes(path.with_suffix(".sem.xml").read_bytes())
  got = read_tracks(tmp_path / "movie.mp4", SENSES, np.arange(24) / 8)
  assert set(got) == set(SENSES)
  for name, values in got.items():
    # Within 10 per cent, where there is an effect; and .1 to .2 are below where one begins.
    level, want = (values + 1) / 2, (clip[name] + 1) / 2
    assert np.abs(level - want)[want > 0.2].max() < 0.13 and np.abs(level - want).max() < 0.21, name


def test_effects_that_others_wrote(tmp_path):
  (tmp_path / "a.sem.xml").write_text("""<?xml version="1.0"?>
    <sedl:SEM xmlns:sedl="urn:mpeg:mpeg-v:2013:01-SEDL-NS" xmlns:sev="urn:mpeg:mpeg-v:2013:01-SEV-NS"
      xmlns:si="urn:mpeg:mpeg21:2003:01-DIA-XSI-NS" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
      si:timeScale="1000">
      <sedl:Declarations>
        <sedl:Effect xsi:type="sev:WindType" intensity-value="100" si:pts="0"/>
      </sedl:Declarations>
      <sedl:Effect xsi:type="sev:WindType" activate="true" si:pts="500"
        intensity-value="50" intensity-range="0 100"/>
      <sedl:Effect xsi:type="sev:WindType" activate="false" si:pts="1500"/>
      <sedl:GroupOfEffects si:pts="1000">
        <sedl:Effect xsi:type="sev:TemperatureType" duration="500"
          intensity-value="20" intensity-range="-30 70"/>
        <sedl:Effect xsi:type="sev:VibrationType" duration="250"
          location="urn:mpeg:mpeg-v:01-SI-LocationCS-NS:left:*:*" intensity-value="3" intensity-range="0 4"/>
      </sedl:GroupOfEffects>
      <sedl:Effect xsi:type="sev:ScentType" scent="urn:mpeg:mpeg-v:01-SI-ScentCS-NS:lilac"
        duration="9000" si:pts="1750"/>
    </sedl:SEM>""")
  asked = {
    **sense("touch", "wind", "temperature", "left", "fog"),
    **sense("smell", "lilac"),
    **sense("taste", "sweet"),
  }
  got = read_tracks(tmp_path / "a.mp4", asked, np.arange(8) / 4)
  want = -np.ones((8, 4))
  want[2:6, 0], want[4:6, 1], want[4, 2] = 0, 0, 0.5
  np.testing.assert_allclose(got["touch"], want)
  np.testing.assert_allclose(got["smell"][:, 0], [-1] * 7 + [1])
  assert "taste" not in got


def test_haptics(tmp_path):
  def channel(description, gain, *bands):
    return {"id": 0, "description": description, "gain": gain, "bands": list(bands)}

  def key(at, amplitude):
    return {"relative_position": at, "amplitude_modulation": amplitude}

  rise = {"position": 1000, "keyframes": [key(0, 0.0), key(1000, 1.0)]}
  tap = {"position": 250, "keyframes": [key(0, 0.5)]}
  file = {
    "timescale": 1000,
    "perceptions": [
      {
        "channels": [
          channel("Left", 0.5, {"band_type": "Curve", "effects": [rise]}),
          channel("", 1.0, {"band_type": "Transient", "effects": [tap]}),
        ]
      }
    ],
  }
  (tmp_path / "a.hjif").write_text(json.dumps(file))
  got = read_tracks(tmp_path / "a.mp4", sense("touch", "left", "vibration"), np.arange(9) / 4)["touch"]
  level = (got + 1) / 2
  np.testing.assert_allclose(level[:, 1], [0, 0.5, 0, 0, 0, 0, 0, 0, 0])
  np.testing.assert_allclose(level[:4, 0], 0)
  # The greatest of each quarter of a second, to a sixteenth of it.
  np.testing.assert_allclose(level[4:8, 0], [0.125, 0.25, 0.375, 0.5], atol=0.01)
  assert level[8, 0] == 0.5


@pytest.mark.parametrize(
  ("ending", "content"),
  [
    (".npz", b"not an archive"),
    (".npz", b""),
    (".sem.xml", b"<SEM"),
    (".sem.xml", b"<SEM/>"),
    (".hjif", b"[]"),
    (".hjif", b'{"perceptions": 3}'),
  ],
)
def test_broken_tracks_are_named(tmp_path, ending, content):
  (tmp_path / f"a{ending}").write_bytes(content)
  (tmp_path / "a.json").write_text('{"senses": {}}')
  with pytest.raises(Unreadable, match=f"a{ending}") as caught:
    read_tracks(tmp_path / "a.mp4", SENSES, np.arange(4))
  assert caught.value.reason == "broken_track" and "\n" not in str(caught.value)
