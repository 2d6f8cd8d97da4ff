"""MPEG-V effects as players and annotation tools write them: what is legal is read, the rest is skipped."""

import math

import numpy as np
import pytest

from stale_jax.clip import Sense
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.effects import Event, read_effects
from stale_jax.data.decode.tracks import read_tracks

HEAD = (
  '<?xml version="1.0" encoding="UTF-8"?><ns2:SEM xmlns:ns2="urn:mpeg:mpeg-v:2010:01-SEDL-NS" '
  'xmlns:ns3="urn:mpeg:mpeg-v:2010:01-SEV-NS" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
  'xmlns:si="urn:mpeg:mpeg21:2003:01-DIA-XSI-NS" si:puMode="ancestorsDescendants" '
)
SCALE = 'si:timeScale="1000" si:absTimeScheme="mp7t"'
SCENT = 'scent="urn:mpeg:mpeg-v:01-SI-ScentCS-NS:'
ON = 'intensity-value="50.0" intensity-range="0.0 100.0" activate="true"'


def effect(kind: str, attributes: str) -> str:
  return f'<ns2:Effect xsi:type="ns3:{kind}Type" {attributes}/>'


def read(body: str, root: str = SCALE):
  return read_effects(f"{HEAD}{root}>{body}</ns2:SEM>".encode())


def starts(events: list[Event]) -> list[float]:
  return [event.start for event in events]


def test_an_effect_that_is_switched_off_needs_nothing_else():
  found = read(
    effect("Wind", f'{ON} si:anchorElement="true" si:pts="1000"')
    + effect("Wind", 'activate="false" si:anchorElement="true" si:pts="3000"')
    + effect("Scent", f'{SCENT}lilac" {ON} si:pts="1000"')
    + effect("Scent", f'{SCENT}rose" {ON} si:pts="2000"')
    + effect("Scent", 'activate="false" si:pts="4000"')
    + effect("Vibration", f'{ON} location="urn:x:LocationCS-NS:left:*:*" si:pts="0"')
    + effect("Vibration", 'activate="false" si:pts="500" intensity-range="?"')
    + effect("Spraying", f'sprayingType="urn:stale_jax:taste:salty" {ON} si:pts="0"')
    + effect("Spraying", 'activate="0" si:pts="700"')
    + effect("Hologram", 'activate="false" si:pts="800"')
    + '<ns2:Effect activate="false" si:pts="900"/>'
    + effect("Light", 'active="false" si:pts="100"')
  )
  half = Event(1.0, math.inf, 0.5)
  assert found["touch"]["wind"] == [half, Event(3.0, math.inf, 0.0)]
  assert found["smell"] == {
    "lilac": [half, Event(4.0, math.inf, 0.0)],
    "rose": [Event(2.0, math.inf, 0.5), Event(4.0, math.inf, 0.0)],
  }
  assert found["touch"]["left"] == [Event(0.0, math.inf, 0.5), Event(0.5, math.inf, 0.0)]
  assert found["taste"]["salty"] == [Event(0.0, math.inf, 0.5), Event(0.7, math.inf, 0.0)]
  assert found["touch"]["light"] == [Event(0.1, math.inf, 0.0)]
  assert set(found["touch"]) == {"wind", "left", "light"}


def test_an_off_event_ends_only_what_runs_and_what_it_names():
  found = read(
    effect("Scent", f'{SCENT}lilac" si:pts="0"')
    + effect("Scent", f'{SCENT}rose" si:pts="0"')
    + effect("Scent", f'{SCENT}rose" activate="false" si:pts="1000"')
    + effect("Scent", 'activate="false" si:pts="2000"')
    + effect("Scent", f'{SCENT}mint" si:pts="2000"')
  )
  assert starts(found["smell"]["lilac"]) == [0.0, 2.0] and starts(found["smell"]["rose"]) == [0.0, 1.0, 2.0]
  assert found["smell"]["mint"] == [Event(2.0, math.inf, 1.0)]


def test_the_later_of_two_events_at_the_same_time_applies(tmp_path):
  body = effect("Wind", 'activate="false" si:pts="500"') + effect("Wind", f'{ON} duration="500" si:pts="500"')
  (tmp_path / "a.sem.xml").write_text(f"{HEAD}{SCALE}>{body}</ns2:SEM>")
  sense = Sense(name="touch", shape=(1,), rate=4.0, patch=(1,), channels=("wind",))
  values = read_tracks(tmp_path / "a.mp4", {"touch": sense}, np.arange(6) / 4)["touch"]
  np.testing.assert_allclose(values[:, 0], [-1, -1, 0, 0, -1, -1])


def test_what_is_not_known_is_skipped():
  found = read(
    "<ns2:DescriptionMetadata><ns2:Version>1</ns2:Version></ns2:DescriptionMetadata>"
    + '<ns2:Parameter id="p" xsi:type="ns3:ColorCorrectionParameterType"/>'
    + '<ns2:Declarations><ns2:Parameter id="q"/></ns2:Declarations>'
    + effect("RigidBodyMotion", 'si:pts="0" intensity-value="x"')
    + effect("Scent", f'{ON} si:pts="0"')
    + effect("Fog", f'{ON} si:pts="250"')
    + '<ns2:ReferenceEffect uri="#nothing" si:pts="0"/>'
    + effect("Flash", f'{ON} si:absTimeScheme="smpte-24" si:absTime="00:00:01:00"')
  )
  assert found == {"touch": {"fog": [Event(0.25, math.inf, 0.5)]}}


def test_references_are_their_declarations_with_other_attributes():
  found = read(
    "<ns2:Declarations>"
    + effect("Wind", f'id="gust" {ON} duration="200"')
    + f'<ns2:GroupOfEffects id="storm">{effect("Fog", ON)}'
    + '<ns2:ReferenceEffect uri="#gust" intensity-value="100"/><ns2:ReferenceEffect uri="#storm"/>'
    + "</ns2:GroupOfEffects></ns2:Declarations>"
    + '<ns2:ReferenceEffect uri="#gust" si:pts="1000"/>'
    + '<ns2:ReferenceEffect uri="#storm" si:pts="3000"/>'
    + '<ns2:ReferenceEffect uri="#gust" activate="false" si:pts="3100"/>'
  )
  gusts = [Event(1.0, 0.2, 0.5), Event(3.0, 0.2, 1.0), Event(3.1, math.inf, 0.0)]
  assert found == {"touch": {"fog": [Event(3.0, math.inf, 0.5)], "wind": gusts}}


def test_groups_pass_on_time_and_attributes():
  found = read(
    '<ns2:GroupOfEffects si:pts="2000" duration="500" activate="true">'
    + effect("Wind", ON)
    + effect("Fog", f'{ON} duration="100" si:pts="2500"')
    + '<ns2:GroupOfEffects activate="false">'
    + effect("Light", "")
    + "</ns2:GroupOfEffects></ns2:GroupOfEffects>"
  )
  assert found["touch"]["wind"] == [Event(2.0, 0.5, 0.5)] and found["touch"]["fog"] == [Event(2.5, 0.1, 0.5)]
  assert found["touch"]["light"] == [Event(2.0, math.inf, 0.0)]


def test_times_count_from_anchors_and_clocks():
  marked = read(
    effect("Wind", 'si:anchorElement="true" si:pts="1000"')
    + effect("Wind", 'si:pts="5000"')
    + effect("Wind", 'si:ptsDelta="500"')
    + effect("Wind", 'si:anchorElement="true" si:ptsDelta="2000"')
    + effect("Wind", 'si:ptsDelta="1"')
  )
  assert starts(marked["touch"]["wind"]) == [1.0, 1.5, 3.0, 3.001, 5.0]
  plain = read(effect("Wind", 'si:pts="1000"') + 2 * effect("Wind", 'si:ptsDelta="250"'))
  assert starts(plain["touch"]["wind"]) == [1.0, 1.25, 1.25]
  clock = effect("Fog", 'si:absTime="T01:00:02:5F25"')
  clock += effect("Wind", 'si:absTimeScheme="npt" si:absTime="12.5"')
  clock += effect("Light", 'si:absTimeScheme="npt" si:absTime="00:01:02.5"')
  found = read(clock, "")["touch"]  # No timeScale is needed.
  assert (found["fog"][0].start, found["wind"][0].start, found["light"][0].start) == (3602.2, 12.5, 62.5)
  own = read(effect("Wind", 'si:timeScale="10" si:pts="15" duration="5"') + effect("Fog", 'si:pts="500"'))
  assert own["touch"] == {"wind": [Event(1.5, 0.5, 1.0)], "fog": [Event(0.5, math.inf, 1.0)]}


@pytest.mark.parametrize(
  ("attributes", "level"),
  [
    ('intensity-value="3" intensity-range="0, 4"', 0.75),
    ('intensity-value="3" intensity-range="0,4"', 0.75),
    ('intensity-value="3" intensity-range=" 0   4 "', 0.75),
    ('intensity-value="3" intensity-range="3 3"', 1.0),
    ('intensity-value="30"', 0.3),
    ("", 1.0),
  ],
)
def test_intensities(attributes, level):
  assert read(effect("Wind", f'{attributes} si:pts="0"'))["touch"]["wind"] == [Event(0.0, math.inf, level)]


@pytest.mark.parametrize(
  ("root", "attributes"),
  [
    ("", 'si:pts="5"'),
    ('si:timeScale="0"', 'si:pts="5"'),
    (SCALE, 'si:pts="soon"'),
    (SCALE, 'si:pts="nan"'),
    (SCALE, 'si:pts="0" intensity-value="inf"'),
    (SCALE, 'si:pts="0" intensity-value="1" intensity-range="1 2 3"'),
  ],
)
def test_what_is_not_legal_is_one_line(tmp_path, root, attributes):
  (tmp_path / "a.sem.xml").write_text(f"{HEAD}{root}>{effect('Wind', attributes)}</ns2:SEM>")
  sense = Sense(name="touch", shape=(1,), rate=4.0, patch=(1,), channels=("wind",))
  with pytest.raises(Unreadable, match=r"a\.sem\.xml cannot be parsed: ") as caught:
    read_tracks(tmp_path / "a.mp4", {"touch": sense}, np.arange(4) / 4)
  assert caught.value.reason == "broken_track" and "\n" not in str(caught.value)
