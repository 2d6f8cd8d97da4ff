"""Agreement of the senses with sight: compares the events in each sense with the events implied by sight."""

import numpy as np
from jaxtyping import Bool

from stale_jax.clip import Clip, intensity
from stale_jax.data.sources.digits import COLOURS, PITCHES, SPRITE, TASTES
from stale_jax.evaluation.reader import Reading, impacts


def f1(felt: Bool[np.ndarray, "..."], seen: Bool[np.ndarray, "..."]) -> float:
  """Harmonic mean of precision and recall over all entries; 1 if neither array has an event."""
  both = np.sum(felt & seen)
  either = np.sum(felt) + np.sum(seen)
  return float(2 * both / either) if either else 1.0


def agreement(clip: Clip, reading: Reading) -> dict[str, float]:
  """Measures how well the other senses [n, frames, channels] agree with the labels read from sight.

  Returns:
    sense -> F1 score of these events (for balance, a share), for each sense that the clip has:
    touch: an impact in the same frame on the same wall.
    sound: mean of two scores: the pitch of the seen digit and no other, in every frame; and a click at each
      seen impact.
    smell: the scent of the seen colour and no other, in the last frame, when it has built up.
    taste: the tastes of the seen digit, at both levels.
    balance: share of frames in which the position that balance states is within half a pixel of the path of
      the ink, both relative to their means over the clip.
  """
  digit, colour = reading.labels["digit"], reading.labels["colour"]
  scores = {}
  if "touch" in clip:
    scores["touch"] = f1(impacts(clip["touch"]), reading.hits)
  if "sound" in clip:
    sound = intensity(clip["sound"])
    pitch = np.broadcast_to((digit[:, None] == np.arange(len(PITCHES)))[:, None], sound[..., :-1].shape)
    # Pitches and clicks are scored separately: clicks are rare, and without any a joint score would be .93.
    scores["sound"] = (
      f1(sound[..., :-1] >= 0.4, pitch) + f1(sound[..., -1] >= 0.5, reading.hits.any(-1))
    ) / 2
  if "smell" in clip:
    seen = colour[:, None] == np.arange(len(COLOURS))
    scores["smell"] = f1(intensity(clip["smell"])[:, -1] >= 0.5, seen)
  if "taste" in clip:
    strong = digit[:, None] % 5 == np.arange(len(TASTES))
    faint = ((digit[:, None] + 1) % 5 == np.arange(len(TASTES))) & (digit[:, None] >= 5)
    taste = intensity(clip["taste"]).mean(1)
    felt = np.stack([taste >= 0.75, taste >= 0.25], -1)
    scores["taste"] = f1(felt, np.stack([strong, strong | faint], -1))
  if "balance" in clip:
    room = clip["sight"].shape[2] - SPRITE
    offset = intensity(clip["balance"])[..., ::-1] * room - reading.path
    scores["balance"] = float(np.mean(np.abs(offset - offset.mean(1, keepdims=True)).max(-1) <= 0.5))
  return scores
