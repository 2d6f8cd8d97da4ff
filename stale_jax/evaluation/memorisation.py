"""The suite `memorisation`: are generated clips new, or copies of training clips?"""

import contextlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.evaluation.needs import finite

_AGAINST = 8  # Training clips for each generated clip.
_ROWS = 16  # Greatest height and width of the clips that are compared.
ABOUT = {
  "nearest": "median distance to the nearest training clip, over that of held-out clips; near 0 for copies, "
  "about 1 for clips as new as held-out ones",
  "caption": "share whose nearest training clip has the caption that was asked for",
}


def nearest_distance(
  a: Float[np.ndarray, "n pixels"], training: Float[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "n"]:
  """Euclidean distance from each row of `a` to the nearest row of `training`."""
  squares = np.square(a).sum(1)[:, None] + np.square(training).sum(1) - 2 * a @ training.T
  return np.sqrt(np.maximum(squares.min(1), 0))


def nearest_ratio(generated, held_out, training) -> float:
  """Median distance of generated examples to the nearest training example, divided by that of held-out ones.

  A ratio of about 1 means that generated examples are as new as unseen ones; near 0, they are copies.

  Args:
    generated, held_out, training: examples, [n, pixels].
  """
  return float(
    np.median(nearest_distance(generated, training)) / np.median(nearest_distance(held_out, training))
  )


def evaluate_memorisation(model, clips: int = 64, seed: int = 0, **overrides) -> tuple[dict[str, Any], Clip]:
  """Generates clips for the captions of training clips, and looks for the nearest training clip of each.

  Clips are compared in sight, averaged over blocks of pixels to at most 16 rows and columns.

  Args:
    model: a `stale_jax.Model` with sight.
    clips: number of generated clips, and of held-out clips, at least 2. They are compared with eight times as
      many training clips.
    seed: seed of the first clip; each further clip adds 1.
    **overrides: settings of `Sampling`.

  Returns:
    The scores, and the generated clips. The scores are
    nearest: see `nearest_ratio`; without a test split, the ratio is to other windows of the training clips.
    caption: share of the generated clips whose nearest training clip has the caption that was asked for.
    caption_chance: the share for captions drawn at random.
    clips: number of clips.

  Raises:
    UserError: the model has no sight, or `clips` is below 2.
  """
  if "sight" not in [sense.name for sense in model.system.data.senses]:
    raise UserError("the suite 'memorisation' needs a model with sight.")
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  source = model.system.data.source.pixels
  held_out, size = source, _AGAINST * clips
  if source.has_test_split:
    with contextlib.suppress(UserError):  # The test split may have no clips.
      test = source.test_split()
      _ = test[0]
      held_out = test
  first = size if held_out is source else 0
  train, unseen = _some(source, range(size)), _some(held_out, range(first, first + clips))
  if not train or not unseen:
    raise UserError("the suite 'memorisation' needs training and held-out clips with sight.")
  asked = [train[int(k)] for k in np.random.default_rng(seed).integers(0, len(train), clips)]
  prompts = [caption for caption, _ in asked]
  made = finite(jax.device_get(model.sample(prompts, [seed + i for i in range(clips)], **overrides)))
  pooled = list(map(_pooled, made["sight"]))
  frames = min(len(sight) for sight in (*pooled, *(one for _, one in (*train, *unseen))))
  generated, known, other = (
    np.stack([sight[:frames].ravel() for sight in some])
    for some in (pooled, [sight for _, sight in train], [sight for _, sight in unseen])
  )
  nearest = [int(np.square(known - one).sum(1).argmin()) for one in generated]
  captions = [caption for caption, _ in train]
  return {
    "nearest": nearest_ratio(generated, other, known),
    "caption": float(np.mean([captions[k] == prompt for k, prompt in zip(nearest, prompts, strict=True)])),
    "caption_chance": float(np.mean([captions.count(prompt) / len(captions) for prompt in prompts])),
    "clips": clips,
  }, made


def _some(source: Source, indices: range) -> list[tuple[str, Float[np.ndarray, "frames rows columns 3"]]]:
  """(caption, small pictures) of the examples at `indices` that have sight, all of the first clip size.

  Raises:
    UserError: the source has too few examples.
  """
  count = len(source) // max(1, len(source.sizes))
  if indices.stop > count:
    raise UserError(f"the source has {count} clips, of which {indices.stop} are needed: give fewer --clips.")
  examples = (source[index] for index in indices)
  return [(e["caption"], _pooled(e["clip"]["sight"])) for e in examples if "sight" in e["clip"]]


def _pooled(sight: Float[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, "frames rows columns 3"]:
  """The clip with blocks of pixels averaged, to at most _ROWS rows and columns."""
  frames, height, width, _ = sight.shape
  down, across = -(-height // _ROWS), -(-width // _ROWS)
  cut = np.asarray(sight, np.float32)[:, : height // down * down, : width // across * across]
  return cut.reshape(frames, height // down, down, width // across, across, 3).mean((2, 4))


def small_pictures(sight: Float[np.ndarray, "n frames height width 3"]) -> Float[np.ndarray, "n pixels"]:
  """Clips as rows of pixels, with blocks averaged as for the suite `memorisation`."""
  return np.stack([_pooled(one).ravel() for one in sight])
