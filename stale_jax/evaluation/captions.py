"""The suite `captions`: does a generated clip show what its caption says, in every sense?"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from stale_jax.clip import Clip
from stale_jax.data.sources.digits import LABELS, caption
from stale_jax.errors import UserError
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.memorisation import nearest_ratio
from stale_jax.evaluation.needs import digits_of
from stale_jax.evaluation.reader import Reading, fitted_reader, glyphs, still, track
from stale_jax.evaluation.senses import agreement

_REAL = 2048
ABOUT = {
  "digit": "clips whose digit a reader, fitted on real ones, reads back as the prompt says",
  "colour": "the same of the colour",
  "direction": "the same of the direction of motion",
  "speed": "the same of the speed",
  "sense_f1": "do touch, sound, smell and taste agree with what is seen",
  "frechet": "Fréchet distance to real clips, of features; the less the better",
  "nearest_train": "distance to the nearest training digit, over that of unseen real ones; 0 would be copies",
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
  """Generates every caption in turn and reads the clips back.

  Args:
    model: a `stale_jax.Model` trained on digits.
    clips: how many; 480 is each caption once.
    seed: of the first clip; the others count up.
    **overrides: of `Sampling`.

  Returns:
    The scores, and the generated clips. The scores are
    digit, colour, direction, speed: share read back as the caption says.
    sense_f1: mean over senses of the F1 of felt against seen events; sense_f1_each.
    frechet: of the reader's features to real test clips; frechet_floor: of real training clips, as many.
    nearest_train: see `nearest_ratio`.
    real: the reader's own scores on real test clips; of these, nearest_train is 1 by definition.

  Raises:
    UserError: the model was not trained on digits, or sees nothing.
  """
  source = digits_of("captions", model.source, model.system)
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  every = [
    dict(zip(LABELS, values, strict=True)) for values in itertools.product(*map(range, LABELS.values()))
  ]
  order = np.random.default_rng(0).permutation(len(every))
  wanted = [every[order[i % len(every)]] for i in range(clips)]
  clip = model.sample([caption(w) for w in wanted], [seed + i for i in range(clips)], **overrides)
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
    "nearest_train": nearest_ratio(reading.glyphs, real.glyphs, glyphs(track(still("train")))),
    "clips": clips,
    "real": {**_score(real_clip, real_labels, real), "nearest_train": 1.0},
  }
  return scores, clip
