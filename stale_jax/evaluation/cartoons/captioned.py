"""The suite `cartoons`: does a generated cartoon show what its caption says, in every sense?"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.cartoons.labels import Labels
from stale_jax.errors import UserError
from stale_jax.evaluation.cartoons.accuracy import FACTORS, accuracy
from stale_jax.evaluation.cartoons.agreement import agreement, captioned_agreement
from stale_jax.evaluation.cartoons.reader import Reading, shipped_reader
from stale_jax.evaluation.kernel_distance import kernel_distance
from stale_jax.evaluation.liveliness import Liveliness, change_of
from stale_jax.evaluation.memorisation import nearest_ratio, small_pictures
from stale_jax.evaluation.needs import cartoons_of, finite

_REAL = 256  # Real test clips with which generated clips are compared.
_AGAINST = 4  # Training clips for each generated clip, among which the nearest is searched.
_SHARE = "share of clips that show what the caption says of it, read by a network fitted on real clips"
ABOUT = {
  "character": _SHARE,
  **{factor: "the same" for factor in FACTORS[1:]},
  "mean": "mean of these nine",
  "sense_f1": "agreement of the other senses with sight, mean over senses: F1 score of the events of a sense "
  "(for balance, share of frames that agree)",
  "liveliness": "retained pace x share of the change that is motion x share of frames that are not dead, in "
  "the second half of a clip against the first",
  "kid": "kernel distance (KID) to real test clips, in the reader's features; lower is better. It is "
  "unbiased, so it can be negative; the value for real clips is measured on as many training clips",
  "nearest_train": "median distance of generated clips to the nearest training clip, divided by that of "
  "held-out real clips; copies score 0",
}


@dataclasses.dataclass(frozen=True)
class RealClips:
  """Some real clips of a source, with their captions and labels."""

  clip: Clip
  captions: list[str]
  labels: list[Labels]

  @classmethod
  def of(cls, source: Cartoons, indices, senses: tuple[str, ...]) -> "RealClips":
    """The clips at `indices`, with these senses."""
    examples = [source[int(i)] for i in indices]
    return cls(
      {name: np.stack([e["clip"][name] for e in examples]) for name in senses},
      [e["caption"] for e in examples],
      [e["labels"] for e in examples],
    )


def evaluate_cartoons(model, clips: int = 96, seed: int = 0, **overrides) -> tuple[dict[str, Any], Clip]:
  """Generates clips for the captions of test clips, and reads them.

  Args:
    model: a `stale_jax.Model` trained on cartoons.
    clips: number of clips to generate, at least 2.
    seed: seed of the first clip; each further clip adds 1.
    **overrides: settings of `Sampling`.

  Returns:
    The scores, and the generated clips. The scores are
    character, colour, ...: share of the clips in which the reader finds the label that the caption states,
      for each factor (see `accuracy`); mean: over the nine of FACTORS.
    sense_f1_each: sense -> agreement with sight, see `agreement`; sense_f1: its mean, None without other
      senses.
    captioned_f1_each: smell and taste against the captions instead of sight, see `captioned_agreement`.
    liveliness: see `evaluation.liveliness`, with the halves of a clip as windows.
    kid, kid_floor: kernel distances to real test clips, of the generated clips and of as many training clips.
    nearest_train: see `memorisation.nearest_ratio`; clips are compared as in the suite `memorisation`.
    clips: number of generated clips.
    real: the same scores of real test clips.

  Raises:
    UserError: the model was not trained on cartoons, has no sight, or `clips` is below 2.
  """
  source = cartoons_of("cartoons", model.source, model.system)
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  reader, rate = shipped_reader(), source.rate
  names = tuple(sense.name for sense in model.system.data.senses)
  train, test = (dataclasses.replace(source, split=split) for split in ("train", "test"))
  # These captions belong to test clips that are not among the real clips below.
  drawn = [test.draw(_REAL + i)[:2] for i in range(clips)]
  wanted = [labels for labels, _ in drawn]
  clip = finite(model.sample([words for _, words in drawn], [seed + i for i in range(clips)], **overrides))
  real = RealClips.of(test, range(_REAL), names)
  known = RealClips.of(train, range(_AGAINST * clips), ("sight",))
  reading, real_reading = (reader(sight, rate) for sight in (clip["sight"], real.clip["sight"]))
  known_features = reader(known.clip["sight"][:clips], rate).features
  change = change_of(real.clip["sight"])
  frames = min(x.shape[1] for x in (clip["sight"], real.clip["sight"]))
  generated, held_out, training = (
    small_pictures(x[:, :frames]) for x in (clip["sight"], real.clip["sight"], known.clip["sight"])
  )
  return {
    **_scores(clip, wanted, reading, rate),
    "liveliness": liveliness(clip["sight"], change),
    "kid": kernel_distance(reading.features, real_reading.features),
    "kid_floor": kernel_distance(known_features, real_reading.features),
    "nearest_train": nearest_ratio(generated, held_out, training),
    "clips": clips,
    "real": {
      **_scores(real.clip, real.labels, real_reading, rate),
      "liveliness": liveliness(real.clip["sight"][:clips], change),
      "nearest_train": 1.0,
    },
  }, clip


def _scores(clip: Clip, wanted: list[Labels], reading: Reading, rate: float) -> dict[str, Any]:
  found, senses = accuracy(wanted, reading.labels), agreement(clip, reading, rate)
  return {
    **found,
    "mean": float(np.mean([found[factor] for factor in FACTORS if factor in found])),
    "sense_f1": float(np.mean(list(senses.values()))) if senses else None,
    "sense_f1_each": senses,
    "captioned_f1_each": captioned_agreement(clip, wanted),
  }


def liveliness(sight: Float[np.ndarray, "clips frames height width 3"], real_change: float) -> float:
  """How lively the second half of each clip is, compared with the first; a mean over clips."""
  meter = Liveliness(sight.shape[1] // 2, real_change)
  meter.add(sight)
  return meter.scores()["liveliness"]
