"""With the mask a background that stands still stands still for 200 frames, and what moves goes on moving.

Two small models (configs/digits_artv.py), with and without the mask, equal steps and seed, go on from the
first three frames of held-out clips. Value is the mean squared distance of the background that no digit
ever covers from what it was, over the last 50 of 200 frames, relative to the unmasked model's; bar .5. The
motion retained (`stale_jax/evaluation/liveliness.py`) must be .8 or more with the mask; that of real clips
as long, and of the unmasked model, is told beside.
"""

CLIPS, FRAMES, LAST = 96, 200, 50


def measure(seed: int) -> dict:
  from experiments.claims._artv import trained

  return judge(trained(seed), trained(seed, mask=False), seed)


def judge(masked, unmasked, seed: int, **settings) -> dict:
  import numpy as np

  from experiments.claims._artv import GIVEN, follow, real_clips
  from stale_jax.evaluation.liveliness import Liveliness, change_of

  real, captions = real_clips(masked, CLIPS, GIVEN + FRAMES, seed)
  still = np.broadcast_to(np.ptp(real, 1) == 0, (FRAMES, *real[:, 0].shape)).swapaxes(0, 1)
  change = change_of(real)

  def scores(sight):
    meter = Liveliness(masked.frames, change)
    meter.add(sight)
    drift = np.square(sight - real[:, GIVEN:])
    at = [float(drift[:, a:b][still[:, a:b]].mean()) for a, b in ((0, LAST), (FRAMES - LAST, FRAMES))]
    return {"drift_first": at[0], "drift": at[1], **meter.scores()}

  made = {"masked": masked, "unmasked": unmasked}
  clips = {name: follow(model, real, captions, FRAMES, **settings) for name, model in made.items()}
  clips["real"] = real[:, GIVEN:]
  said = {name: scores(sight) for name, sight in clips.items()}
  for name, score in said.items():
    print(name, {k: score[k] for k in ("drift_first", "drift", "retention", "explained", "dead", "pace")})
  value, kept = said["masked"]["drift"] / said["unmasked"]["drift"], said["masked"]["retention"]
  return {
    "value": value,
    "bar": 0.5,
    "holds": value <= 0.5 and kept >= 0.8,
    "retention": {name: score["retention"] for name, score in said.items()},
    "drift": {name: score["drift"] for name, score in said.items()},
    "frames": FRAMES,
    "clips": CLIPS,
  }
