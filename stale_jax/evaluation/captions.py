"""The suite `captions`: does a generated clip show what its caption says, in every sense?"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from stale_jax.clip import Clip
from stale_jax.data.sources.digits import LABELS, caption
from stale_jax.errors import UserError
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.kernel_distance import kernel_distance
from stale_jax.evaluation.memorisation import nearest_ratio
from stale_jax.evaluation.needs import digits_of, finite
from stale_jax.evaluation.reader import Reading, fitted_reader, glyphs, still, track
from stale_jax.evaluation.senses import agreement

_REAL = 2048  # Number of real test clips with which generated clips are compared.
ABOUT = {
  "digit": "share of clips whose digit matches the prompt, according to a reader fitted on real clips",
  "colour": "the same for the colour",
  "direction": "the same for the direction of motion",
  "speed": "the same for the speed",
  "sense_f1": "agreement of the other senses with sight, mean over senses: F1 score of the events of a sense "
  "(for balance, share of frames that agree)",
  "frechet": "Fréchet distance to real test clips, in the reader's features; lower is better. Its bias "
  "depends on the number of clips, so compare equal numbers; the value for real clips is measured on as many "
  "training clips",
  "kid": "kernel distance (KID) to real test clips, in the same features; lower is better. It is unbiased, "
  "so it can be negative; the value for real clips is measured on as many training clips",
  "nearest_train": "median distance of generated digits to the nearest training digit, divided by that of "
  "unseen real digits; copies score 0",
}


def _score(clip: Clip, labels: dict[str, np.ndarray], reading: Reading) -> dict[str, Any]:
  accuracy = {name: float(np.mean(reading.labels[name] == labels[name])) for name in LABELS}
  senses = agreement(clip, reading)
  mean = float(np.mean(list(senses.values()))) if senses else None
  return {**accuracy, "sense_f1": mean, "sense_f1_each": senses}


def _real(source, count: int) -> tuple[Clip, dict[str, np.ndarray]]:
  examples = [source[i] for i in range(count)]
  clip = {name: np.stack([e["clip"][name] for e in examples]) for name in examples[0]["clip"]}
  return clip, {name: np.array([e["labels"][name] for e in examples]) for name in LABELS}


def evaluate_captions(model, clips: int = 480, seed: int = 0, **overrides) -> tuple[dict[str, Any], Clip]:
  """Generates clips for all captions in turn, and classifies them with a reader fitted on real clips.

  Both distances compare the reader's features with those of the same 2,048 real test clips: once for the
  generated clips (`frechet`, `kid`), and once for equally many real training clips (`frechet_floor`,
  `kid_floor`). The numbers of clips must be equal because a Fréchet distance is biased by them: the distance
  of real training clips is about 67 with 64 clips, 24 with 240, 16 with 480 and 10 with 960 (means of three
  draws). `kid` is unbiased but noisy: from the same draws 22 to 55 with 240 clips, 24 to 49 with 480 and 19
  to 25 with 960. It is not 0, since the two splits have different handwriting.

  Args:
    model: a `stale_jax.Model` trained on digits.
    clips: number of clips to generate; 480 is each caption once.
    seed: seed of the first clip; each further clip adds 1.
    **overrides: settings of `Sampling`.

  Returns:
    The scores, and the generated clips. The scores are
    digit, colour, direction, speed: share of clips in which the reader finds the label that the caption
      states.
    sense_f1_each: sense -> agreement with sight, see `agreement`; sense_f1: its mean, None without other
      senses.
    frechet, frechet_floor: Fréchet distances as above.
    kid, kid_floor: kernel distances as above.
    nearest_train: see `nearest_ratio`.
    clips: number of generated clips.
    real: the same scores of the real test clips, without the distances; nearest_train is 1 by definition.

  Raises:
    UserError: the model was not trained on digits, has no sight, or `clips` is below 2.
  """
  source = digits_of("captions", model.source, model.system)
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  combinations = [
    dict(zip(LABELS, values, strict=True)) for values in itertools.product(*map(range, LABELS.values()))
  ]
  order = np.random.default_rng(0).permutation(len(combinations))
  wanted = [combinations[order[i % len(combinations)]] for i in range(clips)]
  clip = finite(model.sample([caption(w) for w in wanted], [seed + i for i in range(clips)], **overrides))
  labels = {name: np.array([w[name] for w in wanted]) for name in LABELS}

  reader = fitted_reader(dataclasses.replace(source, split="train"))
  reading = reader(clip["sight"])
  real_clip, real_labels = _real(dataclasses.replace(source, split="test"), _REAL)
  real = reader(real_clip["sight"])
  train_clip, _ = _real(dataclasses.replace(source, split="train", seed=1), clips)
  train = reader(train_clip["sight"])
  scores = {
    **_score(clip, labels, reading),
    "frechet": frechet(reading.features, real.features),
    "frechet_floor": frechet(train.features, real.features),
    "kid": kernel_distance(reading.features, real.features),
    "kid_floor": kernel_distance(train.features, real.features),
    "nearest_train": nearest_ratio(reading.glyphs, real.glyphs, glyphs(track(still("train")))),
    "clips": clips,
    "real": {**_score(real_clip, real_labels, real), "nearest_train": 1.0},
  }
  return scores, clip
