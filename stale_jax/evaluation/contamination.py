"""The suite `contamination`: how much of the test handwriting was in the training data?

There are two independent estimates. Neither reads the setting `source.leak`, which states the true share.
From the data: clips are drawn from the training source, the moving digit of each clip is tracked and hashed,
and the test digits that have a near-duplicate among the clips are counted. From the model alone: its losses
on training and on test handwriting are compared (`evaluation.membership`).
"""

import functools
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from stale_jax.errors import UserError
from stale_jax.evaluation.membership import handwriting_losses, membership
from stale_jax.evaluation.needs import digits_of, without_bias
from stale_jax.evaluation.reader import glyphs, still, track

ABOUT = {
  "leaked": "share of the test handwriting that was found in the training clips",
  "leaked_by_model": "the same, estimated from the model's losses alone",
}
_BITS = 256
# Hashes of different digits of a split differ in at least 15 bits. The hashes of a digit and of its noisy or
# dimmed copies mostly differ in fewer than 10.
_NEAR = 10
# Pixels below this intensity count as background: faint noise would shift the tracked centre.
_PAPER = 0.15
_CHUNK = 1024


@functools.cache
def _planes() -> tuple[np.ndarray, np.ndarray]:
  """The mean glyph of the training digits, [pixels], and normals of random hyperplanes, [pixels, bits]."""
  mean = glyphs(track(still("train"))).mean(0)
  return mean, np.random.default_rng(0).standard_normal((len(mean), _BITS))


def glyph_hashes(sight: Float[np.ndarray, "n frames height width 3"]) -> Bool[np.ndarray, "n bits"]:
  """Hashes the digit of each clip, independently of the digit's path and colour.

  Each bit says on which side of a random hyperplane through the mean glyph the tracked glyph lies. The
  expected share of bits in which two hashes differ is the angle between the two glyphs, as seen from the
  mean, divided by pi (SimHash: Charikar, STOC 2002).
  """
  mean, planes = _planes()
  faint = sight.max(-1, keepdims=True) < 2 * _PAPER - 1
  return (glyphs(track(np.where(faint, -1, sight))) - mean) @ planes > 0


def hamming(a: Bool[np.ndarray, "n bits"], b: Bool[np.ndarray, "m bits"]) -> Float[np.ndarray, "n m"]:
  """Number of bits in which each row of `a` differs from each row of `b`."""
  a, b = a.astype(np.float32), b.astype(np.float32)
  return a.sum(1)[:, None] + b.sum(1) - 2 * a @ b.T


def leaked(source, clips: int = 8192, seed: int = 0, near: int = _NEAR) -> dict[str, float]:
  """Estimates from the data alone which share of the test handwriting `source` contains.

  Args:
    source: source of training clips; its clips are read, not its settings.
    clips: number of clips to draw from it.
    seed: seed of the draw.
    near: hashes that differ in at most this many bits count as the same handwriting.

  Returns:
    estimate: (found - false_positives) / (coverage - false_positives), clipped to [0, 1].
    standard_error: standard error of `estimate` over the test digits (binomial).
    found: share of test digits that have a near duplicate among the clips.
    false_positives: share of test digits that have a near duplicate in the clean training split, by chance.
    coverage: estimated share of the leaked digits that the drawn clips contain: 1 - (test digits found in
      exactly one clip) / (all finds), the Good-Turing estimate.
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
  """Estimates which share of the test handwriting a model of digits was trained on.

  Args:
    model: a `stale_jax.Model` trained on digits; clips are drawn from its training source.
    clips: number of clips to draw from the source.
    seed: seed of all random draws.
    reference: a model of the same recipe that was trained without test handwriting. Without a reference,
      `leaked_by_model` is None, and `by_model` holds the gap of `model` only.

  Returns:
    The scores, and None in place of clips. The scores are
    leaked, leaked_by_model: the share of test handwriting that was trained on, estimated from the data and
      from the losses.
    by_data: see `leaked`.
    by_model: see `membership`.
    clips: number of clips drawn.

  Raises:
    UserError: the model was not trained on digits or has no sight, or `clips` is below 1.
  """
  models = [model] if reference is None else [model, reference]
  source, *_ = [digits_of("contamination", m.system.data.source, m.system) for m in models]
  without_bias('the suite "contamination"', model.system)
  if clips < 1:
    raise UserError(f"clips={clips}: at least 1 is needed.")
  losses = [{split: handwriting_losses(m, split, seed=seed) for split in ("train", "test")} for m in models]
  by_data, by_model = leaked(source, clips, seed), membership(*losses)
  return {
    "leaked": by_data["estimate"],
    "leaked_by_model": by_model.get("estimate"),
    "by_data": by_data,
    "by_model": by_model,
    "clips": clips,
  }, None
