"""Agreement of the other senses of cartoons with sight, by the rules of the source.

What should be heard, felt, smelled and tasted is derived from what is seen: the events of each frame, and the
labels. An impulse is felt if a channel rises, beyond what fades and what is held, by half of the strength
that the rules give to the seen event.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from stale_jax.clip import Clip, intensity
from stale_jax.data.sources.cartoons.actions import Timing
from stale_jax.data.sources.cartoons.cast import BUILDS, CHARACTERS
from stale_jax.data.sources.cartoons.events import CONTACTS, RULES
from stale_jax.data.sources.cartoons.labels import LABELS, Labels
from stale_jax.data.sources.cartoons.props import SCENTS
from stale_jax.data.sources.cartoons.scenes import SCENES
from stale_jax.data.sources.cartoons.senses import (
  HALVINGS,
  HAND_IN_HAND,
  HELD,
  KINDS,
  SMELLS,
  TURNING,
  WHOOSH,
  taste,
)
from stale_jax.evaluation.cartoons.questions import FRAMES, HEARD, RATE, TOUCHED, is_pair
from stale_jax.evaluation.cartoons.reader import Reading
from stale_jax.evaluation.senses import f1

_MOTOR = 0.4  # The least intensity of a motor.
_UNEXPECTED = 0.2  # The strength of an event that should not occur.
_LEAST = 0.02  # The least rise that counts as an event.
_ASIDE = 0.3  # x of a figure that is clearly at a side, from -1 to 1.
_NEAR = 0.2  # Greatest error of a value of balance.


def agreement(clip: Clip, reading: Reading, rate: float = RATE) -> dict[str, float]:
  """Measures how well the other senses [n, frames, channels] agree with what is seen.

  Returns:
    sense -> score, for each sense that the clip has:
    touch: F1 of the touches that begin, each in its frame.
    sound: mean of the F1 of the sounds that begin, each in its frame; the F1 of music, in clips on a stage;
      and the share of the loud frames in which the louder ear is on the side of the figure.
    smell: F1 of the scents at the end of the clip.
    taste: F1 of the tastes, at both levels.
    balance: share of frames and values within .2 of what is seen.
  """
  count = min(FRAMES, next(iter(clip.values())).shape[1])
  cut = {sense: intensity(x[:, :count]) for sense, x in clip.items() if sense != "sight"}
  seen, scores = reading.events[:, :count], {}
  fading = 0.5 ** (HALVINGS / rate)
  if "touch" in cut:
    scores["touch"] = f1(_touched(cut["touch"], reading, fading), seen[..., : len(TOUCHED)])
  if "sound" in cut:
    pairs = cut["sound"].reshape(*cut["sound"].shape[:2], len(KINDS), 2)
    loud = np.sqrt(np.square(pairs).sum(-1))  # Ears have constant power.
    events = f1(_heard(loud, reading, fading), seen[..., len(TOUCHED) :])
    on_stage = reading.labels["scene"] == LABELS["scene"].index("stage")
    tune = loud[:, :, len(HEARD) :].max((1, 2)) >= 0.4
    scores["sound"] = (events + f1(tune, on_stage) + _panning(pairs, reading)) / 3
  scores |= _smell_and_taste(cut, reading.labels)
  if "balance" in cut:
    off = np.abs(2 * cut["balance"] - 1 - reading.balance[:, :count])
    scores["balance"] = float(np.mean(off <= _NEAR))
  return scores


def captioned_agreement(clip: Clip, wanted: Sequence[Labels]) -> dict[str, float]:
  """Measures smell and taste, as `agreement` does, against the captions instead of what is seen.

  If smell agrees with the caption but not with sight, the model knows the prop and does not show it.

  Args:
    clip: the senses [n, frames, channels].
    wanted: the labels of each caption.
  """
  cut = {sense: intensity(clip[sense][:, :FRAMES]) for sense in ("smell", "taste") if sense in clip}
  factors = ("scene", "prop", "character")
  return _smell_and_taste(cut, {factor: np.array([one[factor] for one in wanted]) for factor in factors})


def _smell_and_taste(cut: Clip, labels: dict[str, Int[np.ndarray, "n"]]) -> dict[str, float]:
  scores = {}
  if "smell" in cut:
    scores["smell"] = f1(cut["smell"][:, -1] >= 0.5, _scents(labels))
  if "taste" in cut:
    tasted = cut["taste"].mean(1)
    rule = np.stack([taste(int(character)) for character in labels["character"]])
    scores["taste"] = f1(*(np.stack([x >= 0.75, x >= 0.25], -1) for x in (tasted, rule)))
  return scores


def _rises(
  x: Float[np.ndarray, "n frames channels"], floor: Float[np.ndarray, "#n channels"], fading: float
) -> Float[np.ndarray, "n frames channels"]:
  """How far each value is above what fades from the frame before, and above `floor`."""
  before = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], 1)
  return x - np.maximum(fading * before, floor[:, None])


def strengths(labels: dict[str, Int[np.ndarray, "n"]]) -> dict[str, Float[np.ndarray, "n"]]:
  """Kind of an event -> its strength in each clip by the rules, 0 if it does not occur."""
  kinds = ("contact", "release", "spell", "transform", "hand_over")
  found = {kind: np.zeros(len(labels["action"])) for kind in kinds}
  for number, action in enumerate(labels["action"]):
    character, build, other = (int(labels[f][number]) for f in ("character", "build", "character2"))
    weights = [_weight(character, build)]
    if other < len(LABELS["character"]):
      weights.append(_weight(other, 0))
    for _, kind, strength, *_ in RULES[LABELS["action"][action]](Timing(0.0, 4.0)):
      is_contact = kind in CONTACTS
      found["contact" if is_contact else kind][number] = strength * (min(weights) if is_contact else 1.0)
  return found


def _weight(character: int, build: int) -> float:
  return min(list(CHARACTERS.values())[character].weight * list(BUILDS.values())[build], 1.0)


def _touched(touch, reading: Reading, fading: float) -> Bool[np.ndarray, "n frames parts"]:
  labels, expected = reading.labels, strengths(reading.labels)
  n = len(touch)
  floor = np.zeros((n, len(TOUCHED)))
  hands = [TOUCHED.index("left hand"), TOUCHED.index("right hand")]
  near = np.where(labels["direction"] == LABELS["direction"].index("right"), hands[1], hands[0])
  floor[np.arange(n), near] = np.where(labels["prop"] > 0, HELD, 0)
  dances = labels["action"] == LABELS["action"].index("dances_with")
  floor[np.ix_(dances, hands)] = HAND_IN_HAND
  by_hand = np.max([expected[kind] for kind in ("release", "spell", "hand_over")], 0)
  strength = np.stack(
    [
      expected["contact"],
      expected["contact"],
      np.maximum(by_hand, expected["contact"]),
      np.maximum(by_hand, expected["contact"]),
      expected["transform"],
    ],
    -1,
  )
  least = np.maximum((np.where(strength > 0, strength, _UNEXPECTED) - floor) / 2, _LEAST)
  return _rises(touch, floor, fading) >= least[:, None]


def _heard(loud, reading: Reading, fading: float) -> Bool[np.ndarray, "n frames kinds"]:
  labels, expected = reading.labels, strengths(reading.labels)
  turns = np.isin(labels["action"], [LABELS["action"].index(action) for action in TURNING])
  loudness = np.array([scene.loudness for scene in SCENES.values()])[labels["scene"]]
  step, none = expected["contact"] * loudness, np.zeros(len(loud))
  kinds = {  # Kind -> (strength of an event, floor).
    "step": (step, none),
    "landing": (step, none),
    "chime": (np.maximum(expected["spell"], expected["transform"]), none),
    "whoosh": (expected["release"], np.where(turns, WHOOSH, 0.0)),
  }
  begins = []
  for kind, (strength, floor) in kinds.items():
    rise = _rises(loud[:, :, [KINDS.index(kind)]], floor[:, None], fading)[..., 0]
    begins.append(rise >= np.maximum(np.where(strength > 0, strength, _UNEXPECTED) / 2, _LEAST)[:, None])
  return np.stack([*begins, loud[:, :, KINDS.index("motor")] >= _MOTOR / 2], -1)


def _panning(pairs: Float[np.ndarray, "n frames kinds 2"], reading: Reading) -> float:
  """The share of loud frames, with the figure at one side, in which the louder ear is on that side.

  Only clips of one figure count: the other one may be on the other side. Music is heard in the middle.
  """
  ears = pairs[:, :, : len(HEARD)].max(2)
  x = reading.balance[:, : ears.shape[1], 0]
  counts = (np.abs(x) >= _ASIDE) & (ears.max(-1) >= 0.1) & ~is_pair(reading.labels["action"])[:, None]
  right = (ears[..., 1] > ears[..., 0]) == (x > 0)
  return float(right[counts].mean()) if counts.any() else 1.0


def _scents(labels: dict[str, Int[np.ndarray, "n"]]) -> Bool[np.ndarray, "n scents"]:
  """Which scents the scene and the prop have."""
  by_scene = labels["scene"][:, None] == np.arange(len(SCENES))
  by_prop = labels["prop"][:, None] == 1 + np.arange(len(SCENTS))
  scents = [*(scene.scent for scene in SCENES.values()), *SCENTS.values()]
  return np.concatenate([by_scene, by_prop], -1)[:, [scents.index(scent) for scent in SMELLS]]
