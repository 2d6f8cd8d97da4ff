"""The suite `captions`: does a generated clip show what its caption says, in every sense?"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from stale_jax.clip import Clip
from stale_jax.data.digits import caption
from stale_jax.errors import UserError
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.memorisation import nearest_ratio
from stale_jax.evaluation.reader import LABELS, Reading, fitted_reader
from stale_jax.evaluation.senses import agreement

_BATCH = 48
_REAL = 2048


def _score(clip: Clip, labels: dict[str, np.ndarray], reading: Reading) -> dict[str, Any]:
  accuracy = {name: float(np.mean(reading.labels[name] == labels[name])) for name in LABELS}
  senses = agreement(clip, reading)
  return {**accuracy, "sense_f1": float(np.mean(list(senses.values()))), "sense_f1_each": senses}


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
    real: the reader's own scores on real test clips.

  Raises:
    UserError: the model was not trained on digits, or sees nothing.
  """
  source = model.experiment.source
  if not hasattr(source, "canvas") or "sight" not in [s.name for s in model.experiment.senses]:
    raise UserError("the suite 'captions' reads digits: it needs a model of the source 'digits' with sight.")
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  every = [
    dict(zip(LABELS, values, strict=True)) for values in itertools.product(*map(range, LABELS.values()))
  ]
  order = np.random.default_rng(0).permutation(len(every))
  wanted = [every[order[i % len(every)]] for i in range(clips)]
  parts = []
  for start in range(0, clips, _BATCH):
    # The last batch is filled up, so that one shape is compiled.
    rows = [min(i, clips - 1) for i in range(start, start + min(_BATCH, clips))]
    part = model.sample([caption(wanted[i]) for i in rows], [seed + i for i in rows], **overrides)
    parts.append({name: x[: clips - start] for name, x in part.items()})
  clip = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
  labels = {name: np.array([w[name] for w in wanted]) for name in LABELS}

  reader = fitted_reader(dataclasses.replace(source, split="train"))
  reading = reader(clip["sight"])
  real_clip, real_labels = _real(dataclasses.replace(source, split="test"), _REAL)
  real = reader(real_clip["sight"])
  train_clip, _ = _real(dataclasses.replace(source, split="train", seed=1), max(clips, _REAL))
  train = reader(train_clip["sight"])
  scores = {
    **_score(clip, labels, reading),
    "frechet": frechet(reading.features, real.features),
    "frechet_floor": frechet(train.features[:clips], real.features),
    "nearest_train": nearest_ratio(reading.glyphs, real.glyphs, train.glyphs),
    "clips": clips,
    "real": _score(real_clip, real_labels, real),
  }
  return scores, clip
