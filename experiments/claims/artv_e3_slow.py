"""With the mask a background that stands still stands still for 200 frames, and what moves goes on moving.

Two small models (configs/digits_artv.py), with and without the mask, equal steps and seed, go on from the
first three frames of held-out clips. Value is the mean squared distance of the background from what it was,
over the last 50 of 200 frames, relative to the unmasked model's; bar .5. Background are the pixels that the
real digit never touches: it covers none of them, nor one beside them. `uncovered` is the same of all that it
never covers: there, what is lost is lost beside it, where strokes have changed by a pixel, and no copy can
help that. The motion retained (`stale_jax/evaluation/liveliness.py`) must be .8 or more with the mask; that
of real clips as long, and of the unmasked model, is told too.
"""

CLIPS, FRAMES, LAST = 96, 200, 50


def measure(seed: int) -> dict:
  from experiments.claims._artv import trained

  return judge(trained(seed), trained(seed, mask=False), seed)


def judge(masked, unmasked, seed: int, **settings) -> dict:
  import numpy as np
  from scipy.ndimage import maximum_filter

  from experiments.claims._artv import GIVEN, follow, real_clips
  from stale_jax.evaluation.liveliness import Liveliness, change_of

  real, captions = real_clips(masked, CLIPS, GIVEN + FRAMES, seed)
  covered = (np.ptp(real, 1) > 0).any(-1)
  touched = maximum_filter(covered, (1, 3, 3))
  change = change_of(real)

  def scores(sight):
    meter = Liveliness(masked.frames, change)
    meter.add(sight)
    off = np.square(sight - real[:, GIVEN:])[:, -LAST:].mean((1, -1))
    return {"drift": off[~touched].mean(), "uncovered": off[~covered].mean(), **meter.scores()}

  made = {"masked": masked, "unmasked": unmasked}
  clips = {name: follow(model, real, captions, FRAMES, **settings) for name, model in made.items()}
  clips["real"] = real[:, GIVEN:]
  said = {name: scores(sight) for name, sight in clips.items()}
  for name, score in said.items():
    print(
      name, {k: float(score[k]) for k in ("drift", "uncovered", "retention", "explained", "dead", "pace")}
    )
  ratio = {k: float(said["masked"][k] / said["unmasked"][k]) for k in ("drift", "uncovered")}
  value, kept = ratio["drift"], said["masked"]["retention"]
  return {
    "value": value,
    "bar": 0.5,
    "holds": value <= 0.5 and kept >= 0.8,
    "uncovered": ratio["uncovered"],
    "retention": {name: score["retention"] for name, score in said.items()},
    "drift": {name: float(score["drift"]) for name, score in said.items()},
    "frames": FRAMES,
    "clips": CLIPS,
  }
