"""Captions: one canonical sentence for the labels of a clip, and variants of it.

  a cop in a blue uniform gives a pink gem to a girl in a red dress in a city at night, the camera moves

Variants use synonyms, and begin with the time or the place. Captions do not state skin, hair and build, and
state the direction only of actions that have one.
"""

from collections.abc import Sequence

import numpy as np

from stale_jax.data.sources.cartoons.actions import TRAVEL
from stale_jax.data.sources.cartoons.cast import CHARACTERS
from stale_jax.data.sources.cartoons.labels import Labels, name

# Class -> its words; the canonical ones are first.
WHO = {
  "burglar": ("burglar", "thief"),
  "cop": ("cop", "police officer"),
  "girl": ("girl", "little girl"),
  "fairy": ("fairy", "pixie"),
  "lumberjack": ("lumberjack", "woodcutter"),
  "cowboy": ("cowboy", "rancher"),
  "builder": ("builder", "workman"),
  "biker": ("biker", "motorcyclist"),
  "wizard": ("wizard", "sorcerer"),
  "robot": ("robot", "android"),
  "fan": ("fan", "young fan"),
  "sailor": ("sailor", "seaman"),
}
DOES = {
  "walks": ("walks", "strolls"),
  "runs": ("runs", "sprints"),
  "sneaks": ("sneaks", "tiptoes"),
  "jumps": ("jumps", "hops"),
  "cartwheels": ("cartwheels", "turns cartwheels"),
  "dances": ("dances", "does a dance"),
  "waves": ("waves", "waves hello"),
  "twirls": ("twirls", "spins around"),
  "throws": ("throws {prop}", "tosses {prop}"),
  "casts": ("casts a spell", "does magic"),
  "to_car": ("turns into a car and drives", "becomes a car and drives"),
  "from_car": ("drives up as a car and turns back", "arrives as a car and turns back"),
  "chases": ("chases {other}", "pursues {other}"),
  "gives": ("gives {prop} to {other}", "hands {prop} to {other}"),
  "dances_with": ("dances with {other}", "does a dance with {other}"),
}
WHERE = {
  "museum": ("a museum",),
  "forest": ("a magical forest", "a magic forest"),
  "stage": ("a stage", "a theatre stage"),
  "city": ("a city", "a town"),
  "desert": ("a desert", "the desert"),
}
WHEN = {
  "day": ("by day", "at midday"),
  "sunset": ("at sunset", "at dusk"),
  "night": ("at night", "by night"),
}
HOLDS = {
  "vase": ("a golden vase", "a gold vase"),
  "gem": ("a pink gem", "a pink jewel"),
  "bag": ("a money bag", "a moneybag"),
  "axe": ("an axe", "a hatchet"),
  "flower": ("a flower", "a blossom"),
  "balloon": ("a red balloon",),
  "guitar": ("a guitar",),
  "microphone": ("a microphone", "a mike"),
  "wand": ("a wand", "a magic wand"),
}
WEARING, CARRYING = ("in", "wearing"), ("carrying", "holding")
TOWARDS = ("", "to the ")
CAMERA = ("the camera moves", "moving camera")
PASSING = ("walks", "runs", "sneaks", "chases")  # Actions that cross the place.
DIRECTED = (*TRAVEL, "throws")  # Actions whose direction is stated.


class _Writer:
  """Chooses words: the first of each list, or any if there is a random generator."""

  def __init__(self, labels: Labels, rng: np.random.Generator | None):
    self._labels, self._rng = labels, rng

  def pick(self, words: Sequence[str]) -> str:
    """One of `words`."""
    return words[0] if self._rng is None else words[self._rng.integers(len(words))]

  def person(self, which: str) -> str:
    """A figure; `which` is "" or "2"."""
    who = name(self._labels, "character" + which)
    garment = f"{name(self._labels, 'colour' + which)} {CHARACTERS[who].garment}"
    return f"{_article(self.pick(WHO[who]))} {self.pick(WEARING)} {_article(garment)}"

  def prop(self) -> str:
    """What is held; "" for nothing."""
    held = name(self._labels, "prop")
    return "" if held == "none" else self.pick(HOLDS[held])

  def place(self, passing: bool) -> str:
    """The scene with a preposition; `passing` if the figures cross it."""
    scene = name(self._labels, "scene")
    on_stage = scene == "stage"
    preposition = ("across" if on_stage else "through") if passing else ("on" if on_stage else "in")
    return f"{preposition} {self.pick(WHERE[scene])}"


def caption(labels: Labels, rng: np.random.Generator | None = None) -> str:
  """A caption that states the labels; the canonical one if there is no random generator.

  Args:
    labels: factor -> class, see `labels.LABELS`.
    rng: chooses synonyms and the order of phrases.
  """
  writer = _Writer(labels, rng)
  action = name(labels, "action")
  words = [writer.person("")]
  other = writer.person("2") if "character2" in labels else ""
  prop = writer.prop()
  verb = writer.pick(DOES[action])
  words.append(verb.format(prop=prop, other=other))
  if action in DIRECTED:
    words.append(writer.pick(TOWARDS) + name(labels, "direction"))
  when = writer.pick(WHEN[name(labels, "time")])
  order = writer.pick(("last", "time first", "place first"))
  place = writer.place(action in PASSING and order != "place first")
  if order == "last":
    words += [place, when]
  elif order == "time first":
    words = [f"{when},", *words, place]
  else:
    words = [place, f"{when},", *words]
  text = " ".join(words)
  if prop and "{prop}" not in verb:
    text += f", {writer.pick(CARRYING)} {prop}"
  if name(labels, "camera") == "moves":
    text += f", {writer.pick(CAMERA)}"
  return text


def _article(words: str) -> str:
  return ("an " if words[0] in "aeiou" else "a ") + words
