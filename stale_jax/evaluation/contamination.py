"""The suite `contamination`: how much of the test's handwriting was there in training?

Two witnesses, neither of whom reads what the config says of it. The data: clips are drawn
from the training source, the digit that moves in each is tracked and hashed, and test
digits with a near duplicate are counted. And the model alone, by its losses
(evaluation/membership.py).
"""

import functools
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from stale_jax.errors import UserError
from stale_jax.evaluation.membership import handwriting_losses, membership
from stale_jax.evaluation.needs import digits_of
from stale_jax.evaluation.reader import glyphs, still, track

ABOUT = {
  "leaked": "share of the test's handwriting found in the training clips",
  "leaked_by_model": "the same, judged by the model's losses alone",
}
_BITS = 256
# Two handwritings of the split differ in 15 bits at least; copies, noisy and dimmed, mostly in fewer than 10.
_NEAR = 10
# Ink this faint is taken for noise on the paper, which would drag the tracked centre about.
_PAPER = 0.15
_CHUNK = 1024


@functools.cache
def _planes() -> tuple[np.ndarray, np.ndarray]:
  """The mean of the training digits, and the hyperplanes through it."""
  mean = glyphs(track(still("train"))).mean(0)
  return mean, np.random.default_rng(0).standard_normal((len(mean), _BITS))


def glyph_hashes(sight: Float[np.ndarray, "n frames height width 3"]) -> Bool[np.ndarray, "n bits"]:
  """A hash a clip of the digit in it, wherever it moves and whatever its colour.

  On which side of random hyperplanes the tracked glyph lies: the share of bits in which two
  differ is the angle between them over pi (SimHash: Charikar, STOC 2002).
  """
  mean, planes = _planes()
  faint = sight.max(-1, keepdims=True) < 2 * _PAPER - 1
  return (glyphs(track(np.where(faint, -1, sight))) - mean) @ planes > 0


def hamming(a: Bool[np.ndarray, "n bits"], b: Bool[np.ndarray, "m bits"]) -> Float[np.ndarray, "n m"]:
  """In how many bits each row of `a` differs from each of `b`."""
  a, b = a.astype(np.float32), b.astype(np.float32)
  return a.sum(1)[:, None] + b.sum(1) - 2 * a @ b.T


def leaked(source, clips: int = 8192, seed: int = 0, near: int = _NEAR) -> dict[str, float]:
  """Estimates from data alone what share of the test's handwriting `source` draws from.

  Args:
    source: of training clips; only its items are looked at.
    clips: drawn from it.
    seed: of which.
    near: hashes that differ in so many bits are of the same handwriting.

  Returns:
    estimate: (found - false_positives) / (coverage - false_positives), within [0, 1].
    standard_error: of it, the test's digits being a sample.
    found: share of test digits with a near duplicate among the clips.
    false_positives: share of them with one in the clean training split, that is by chance.
    coverage: how much of what leaked the clips have shown, by those shown only once (Good and Turing).
  """
  test = glyph_hashes(still("test"))
  indices = np.random.default_rng(seed).integers(0, len(source), clips)
  hits = np.zeros(len(test), int)
  for start in range(0, clips, _CHUNK):
    sight = np.stack([source[int(i)]["clip"]["sight"] for i in indices[start : start + _CHUNK]])
    hits += (hamming(glyph_hashes(sight), test) <= near).sum(0)
  found = np.mean(hits > 0)
  by_chance = np.mean((hamming(test, glyph_hashes(still("train"))) <= near).any(1))
  coverage = 1 - np.sum(hits == 1) / max(np.sum(hits), 1)
  scale = max(coverage - by_chance, 1e-6)
  return {
    "estimate": float(np.clip((found - by_chance) / scale, 0, 1)),
    "standard_error": float(np.sqrt(found * (1 - found) / len(test)) / scale),
    "found": float(found),
    "false_positives": float(by_chance),
    "coverage": float(coverage),
  }


def evaluate_contamination(
  model, clips: int = 8192, seed: int = 0, reference=None
) -> tuple[dict[str, Any], None]:
  """Audits a model of digits.

  Args:
    model: a `stale_jax.Model`; its training source is built from its config, and drawn from.
    clips: drawn from the source.
    seed: of all that is drawn.
    reference: a model of the same recipe known to be clean; without one the model's own gap is all that
      can be said of it.

  Returns:
    The scores. They are
    leaked, leaked_by_model: the two estimates of the share of the test's handwriting trained on.
    by_data: see `leaked`. by_model: see `membership`.

  Raises:
    UserError: the model was not trained on digits, or sees nothing.
  """
  models = [model] if reference is None else [model, reference]
  source, *_ = [digits_of("contamination", m.system.data.source, m.system) for m in models]
  if clips < 1:
    raise UserError(f"clips={clips}: at least 1 is needed.")
  losses = [{split: handwriting_losses(m, split, seed=seed) for split in ("train", "test")} for m in models]
  data, said = leaked(source, clips, seed), membership(*losses)
  return {
    "leaked": data["estimate"],
    "leaked_by_model": said.get("estimate"),
    "by_data": data,
    "by_model": said,
    "clips": clips,
  }, None
