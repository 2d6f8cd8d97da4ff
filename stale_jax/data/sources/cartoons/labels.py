"""The factors of a clip, how they are drawn, and which combinations are held out."""

import dataclasses
import functools
import itertools

import numpy as np

from stale_jax.data.sources.cartoons.actions import ACTIONS, PAIR
from stale_jax.data.sources.cartoons.cast import BUILDS, CHARACTERS, COLOURS, HAIRS, SKINS
from stale_jax.data.sources.cartoons.props import PROPS
from stale_jax.data.sources.cartoons.scenes import SCENES
from stale_jax.errors import UserError

# Factor -> its classes. Captions state all but the identity: skin, hair and build.
LABELS: dict[str, tuple[str, ...]] = {
  "character": tuple(CHARACTERS),
  "colour": tuple(COLOURS),
  "action": tuple(ACTIONS),
  "direction": ("left", "right"),
  "scene": tuple(SCENES),
  "time": ("day", "sunset", "night"),
  "prop": ("none", *PROPS),
  "camera": ("still", "moves"),
  "character2": tuple(CHARACTERS),
  "colour2": tuple(COLOURS),
  "skin": tuple(SKINS),
  "hair": tuple(HAIRS),
  "build": tuple(BUILDS),
}
SECOND = ("character2", "colour2")  # Present only if there is a second figure.
COMBINATIONS = ("seen", "unseen", "all")
NO_PROP = ("cartwheels", "twirls", "to_car", "from_car", "chases", "dances_with")
PROP = ("throws", "gives")
EMPTY_HANDED = 0.4  # Probability of no prop where there may be one.

Labels = dict[str, int]


def name(labels: Labels, factor: str) -> str:
  """The name of the class of `factor`."""
  return LABELS[factor][labels[factor]]


def held_out_triple(character: int, action: int, scene: int) -> bool:
  """Whether a combination is held out: one in ten; every pair of its factors occurs in others."""
  return (character + 2 * action + 3 * scene) % 10 == 0


def held_out_pair(character: int, colour: int) -> bool:
  """Whether a character never wears a colour: 8 of the 72 pairs, at most one for each character."""
  return 4 * character % 9 == colour


def held_out(labels: Labels) -> bool:
  """Whether a clip has a combination that is held out."""
  wears = [(labels["character"], labels["colour"])]
  if "character2" in labels:
    wears.append((labels["character2"], labels["colour2"]))
  triple = held_out_triple(labels["character"], labels["action"], labels["scene"])
  return triple or any(held_out_pair(*pair) for pair in wears)


@dataclasses.dataclass(frozen=True)
class World:
  """What clips may show.

  Attributes:
    characters, actions, scenes: names; () for all.
    combinations: "seen" leaves out the combinations that are held out, "unseen" has no others, and "all"
      has both.

  Raises:
    UserError: there is no clip that fits.
  """

  characters: tuple[str, ...] = ()
  actions: tuple[str, ...] = ()
  scenes: tuple[str, ...] = ()
  combinations: str = "seen"

  def __post_init__(self):
    colours = range(len(LABELS["colour"]))
    all_held_out = {
      held_out_triple(*triple) or held_out_pair(triple[0], colour)
      for triple in itertools.product(*self._allowed)
      for colour in colours
    }
    if self.combinations != "all" and (self.combinations == "unseen") not in all_held_out:
      raise UserError(
        f"source.combinations={self.combinations!r} leaves no clip of source.characters={self.characters}, "
        f"source.actions={self.actions}, source.scenes={self.scenes}; allow more of them."
      )

  def draw(self, rng: np.random.Generator) -> Labels:
    """Draws the labels of a clip; classes are uniform, as far as the combinations permit."""
    while True:
      labels = self._draw_any(rng)
      if self.combinations == "all" or held_out(labels) == (self.combinations == "unseen"):
        return labels

  @functools.cached_property
  def _allowed(self) -> tuple[tuple[int, ...], ...]:
    """The classes of character, action and scene."""
    chosen = {"character": self.characters, "action": self.actions, "scene": self.scenes}
    return tuple(
      tuple(LABELS[factor].index(name) for name in names or LABELS[factor])
      for factor, names in chosen.items()
    )

  def _draw_any(self, rng: np.random.Generator) -> Labels:
    characters, actions, scenes = self._allowed
    labels = {factor: int(rng.integers(len(classes))) for factor, classes in LABELS.items()}
    labels["character"] = characters[rng.integers(len(characters))]
    labels["action"] = actions[rng.integers(len(actions))]
    labels["scene"] = scenes[rng.integers(len(scenes))]
    others = [c for c in characters if c != labels["character"]] or characters
    labels["character2"] = others[rng.integers(len(others))]
    some_prop, empty_handed = 1 + int(rng.integers(len(PROPS))), rng.random() < EMPTY_HANDED
    action = name(labels, "action")
    if action in NO_PROP or (empty_handed and action not in PROP):
      labels["prop"] = 0
    else:
      labels["prop"] = some_prop
    if action == "chases":
      labels["camera"] = LABELS["camera"].index("moves")
    if action not in PAIR:
      for factor in SECOND:
        del labels[factor]
    return labels
