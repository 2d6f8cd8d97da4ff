"""Captions of cartoons: they state the labels, can be read back, and vary without ambiguity."""

import itertools
import re

import numpy as np
import pytest

from stale_jax.data import Cartoons
from stale_jax.data.sources.cartoons import caption as grammar
from stale_jax.data.sources.cartoons.caption import caption
from stale_jax.data.sources.cartoons.cast import CHARACTERS
from stale_jax.data.sources.cartoons.labels import LABELS, NO_PROP, World
from tests.data.takes import labelled

SOURCE = Cartoons(combinations="all")
STATED = [factor for factor in LABELS if factor not in ("skin", "hair", "build")]


def options(table, which="") -> str:
  """A regular expression for the words of each class; the group of a class is its factor and index."""
  parts = (f"(?P<{which}{i}>{'|'.join(map(re.escape, words))})" for i, words in enumerate(table.values()))
  return f"(?:{'|'.join(parts)})"


def person(which) -> str:
  colours = options({colour: (colour,) for colour in LABELS["colour"]}, f"colour{which}_")
  garment = "|".join(character.garment for character in CHARACTERS.values())
  return f"an? {options(grammar.WHO, f'character{which}_')} (?:in|wearing) an? {colours} (?:{garment})"


def sentences(action) -> list[str]:
  prop, first, second = options(grammar.HOLDS, "prop_"), person(""), person("2")
  verb = "|".join(map(re.escape, grammar.DOES[action])).replace(r"\{prop\}", "{prop}")
  verb = verb.replace(r"\{other\}", "{other}")
  # The two verbs must not repeat the groups of their objects.
  verbs = [v.format(prop=prop, other=second) for v in verb.split("|")]
  way = r"(?: (?:to the )?(?P<way>left|right))?"
  place = rf"(?:through|across|on|in) {options(grammar.WHERE, 'scene_')}"
  when = options(grammar.WHEN, "time_")
  found = []
  for does in verbs:
    act = f"{first} {does}{way}"
    held = "" if "prop_" in does else f"(?:, (?:carrying|holding) {prop})?"
    end = rf"{held}(?P<camera>, the camera moves|, moving camera)?"
    found += [f"{act} {place} {when}{end}", f"{when}, {act} {place}{end}", f"{place} {when}, {act}{end}"]
  return found


PATTERNS = {action: [re.compile(s) for s in sentences(action)] for action in LABELS["action"]}


def read(text) -> list[dict]:
  """All readings of a caption as labels; one without ambiguity."""
  found = []
  for action, patterns in PATTERNS.items():
    for match in filter(None, (pattern.fullmatch(text) for pattern in patterns)):
      groups = {key: value for key, value in match.groupdict().items() if value is not None}
      way, camera = groups.pop("way", None), groups.pop("camera", None)
      labels = {key.rsplit("_", 1)[0]: int(key.rsplit("_", 1)[1]) for key in groups}
      labels["prop"] = labels["prop"] + 1 if "prop" in labels else 0  # 0 is none.
      labels |= {"action": LABELS["action"].index(action), "camera": int(camera is not None)}
      if way:
        labels["direction"] = LABELS["direction"].index(way)
      found.append(labels)
  return found


def stated(labels) -> dict:
  """The labels that a caption should state."""
  action = LABELS["action"][labels["action"]]
  directed = action in (
    *("walks", "runs", "sneaks", "jumps", "cartwheels", "to_car", "from_car", "chases", "throws"),
  )
  return {f: labels[f] for f in STATED if f in labels and (f != "direction" or directed)}


def test_canonical_captions_read_back_to_the_labels():
  world = World(combinations="all")
  for seed in range(400):
    labels = world.draw(np.random.default_rng(seed))
    assert caption(labels) == caption(labels)
    assert read(caption(labels)) == [stated(labels)], caption(labels)


def test_variants_have_one_reading():
  for index in range(600):
    labels, words, _ = SOURCE.draw(index)
    assert read(words) == [stated(labels)], words


def test_the_reader_of_these_tests_is_strict():
  text = caption(labelled(action="walks"))
  assert read(text) and not read(text + " slowly") and not read(text.replace("walks", "flies"))


def test_wording_varies():
  labels = labelled(action="chases", character="cop", scene="forest")
  texts = {caption(labels, np.random.default_rng(seed)) for seed in range(300)}
  assert len(texts) > 100 and caption(labels) in {caption(labels)} | texts
  starts = {text.split()[0] for text in texts}
  assert {"a", "in", "by"} <= starts


def test_examples():
  assert caption(labelled(character="cop", colour="blue", action="gives", prop="gem", character2="girl")) == (
    "a cop in a blue uniform gives a pink gem to a girl in a blue dress in a museum by day"
  )
  assert caption(labelled(action="runs", scene="stage", direction="right", time="night", prop="axe")) == (
    "a burglar in a red striped shirt runs right across a stage at night, carrying an axe"
  )
  assert caption(
    labelled(character="fan", colour="orange", action="to_car", camera="moves", scene="city")
  ) == ("a fan in an orange T-shirt turns into a car and drives left in a city by day, the camera moves")


class Choose(np.random.Generator):
  """Not random: the option of each choice is given."""

  def __init__(self, options):
    super().__init__(np.random.PCG64())
    self.options, self.sizes = list(options), []

  def integers(self, count):
    self.sizes.append(count)
    number = len(self.sizes) - 1
    return self.options[number] if number < len(self.options) else 0


def longest(labels) -> int:
  """The length of the longest caption of some labels: each choice adds its own length, but for the order."""
  best = 0
  first = Choose([])
  caption(labels, first)
  for order in range(3):
    # The order is the only choice of three.
    start = [order if size == 3 else 0 for size in first.sizes]
    for position, size in enumerate(first.sizes):
      if size != 3:
        tried = [[*start[:position], option, *start[position + 1 :]] for option in range(size)]
        start = max(tried, key=lambda options: len(caption(labels, Choose(options))))
    best = max(best, len(caption(labels, Choose(start)).encode()))
  return best


@pytest.mark.parametrize("action", LABELS["action"])
def test_no_caption_is_longer_than_160_bytes(action):
  # Of characters, colours, props, scenes and times, the longest words of each decide, one after the other.
  labels = labelled(action=action, camera="moves", direction="right")
  factors = ["character", "colour", "scene", "time", "character2", "colour2"]
  factors += ["prop"] if action not in NO_PROP else []
  for factor in filter(labels.__contains__, factors):
    labels = max(({**labels, factor: c} for c in range(len(LABELS[factor]))), key=longest)
  for scene, time in itertools.product(range(5), range(3)):
    assert longest({**labels, "scene": scene, "time": time}) <= 160


def test_captions_never_state_the_identity():
  labels = labelled(action="walks")
  for factor in ("skin", "hair", "build"):
    assert len({caption({**labels, factor: c}) for c in range(len(LABELS[factor]))}) == 1
