"""A camera LoRA adds its own motion of the camera to the packaged model, and the digit is still read.

One LoRA for each of three motions (pan left, pan right, zoom in) is trained on all blocks, with clips of
digits that such a camera films. Then each makes clips of the same prompts and seeds, of digits that move up
and down, so that no digit pans by itself. Value: the share of clips that show the motion of their LoRA (at
least half as fast as the clips it was trained on), the smallest of the three; bar .9. Also needed: with each
LoRA, the share of clips whose digit is read as prompted is at least that of the model less .05; at weight 0,
the clips are bitwise those of the model; and the model and the LoRAs of the other motions show the motion in
less than a tenth of the clips.
"""

MOTIONS, STEPS, CLIPS = ("pan_left", "pan_right", "zoom_in"), 600, 64


def measure(seed: int) -> dict:
  import tempfile
  from pathlib import Path

  import numpy as np

  from experiments.claims._camera import SPEED, camera_config, has_motion
  from stale_jax.data.sources.digits import DIGITS, DIRECTIONS, LABELS, caption
  from stale_jax.data.sources.filmed import MOTIONS as ALL
  from stale_jax.data.sources.filmed import Filmed
  from stale_jax.evaluation.reader import fitted_reader
  from stale_jax.pipeline import load
  from stale_jax.run import train

  rng = np.random.default_rng(seed)
  labels = [{name: int(rng.integers(size)) for name, size in LABELS.items()} for _ in range(CLIPS)]
  for i, of in enumerate(labels):
    of |= {"digit": i % len(DIGITS), "direction": DIRECTIONS.index(("up", "down")[i % 2])}
  prompts, seeds = [caption(of) for of in labels], list(range(CLIPS))
  base = load("causal")
  filmed = Filmed(canvas=base.source.canvas, patch=1, motions=tuple(ALL), speed=SPEED)
  reader = fitted_reader(filmed)

  def made(model, count: int = CLIPS):
    return np.asarray(model.sample(prompts[:count], seeds[:count], batch=32)["sight"])

  with tempfile.TemporaryDirectory() as folder:
    runs = {motion: str(Path(folder) / motion) for motion in MOTIONS}
    for motion, run in runs.items():
      train(camera_config(motion, STEPS, seed), run)
    clips = {"none": made(base)}
    clips |= {motion: made(load("causal", adapters=[run])) for motion, run in runs.items()}
    off = made(load("causal", adapters=[(run, 0.0) for run in runs.values()]), 8)
  digits = np.array([of["digit"] for of in labels])
  read = {name: float((reader(x).labels["digit"] == digits).mean()) for name, x in clips.items()}
  shows = {
    name: {motion: float(has_motion(x, motion).mean()) for motion in MOTIONS} for name, x in clips.items()
  }
  own = {motion: shows[motion][motion] for motion in MOTIONS}
  wrong = max(share for name, of in shows.items() for motion, share in of.items() if motion != name)
  is_same = bool(np.array_equal(off, made(base, 8)))
  value = min(own.values())
  conditions = {
    "at least .9 of the clips show the motion of their LoRA": value >= 0.9,
    "less than a tenth show a motion of another LoRA": wrong < 0.1,
    "at weight 0 the clips are those of the model": is_same,
    "the digit is read as often, less .05": min(read.values()) >= read["none"] - 0.05,
  }
  return {
    "value": value,
    "bar": 0.9,
    "holds": all(conditions.values()),
    "conditions": conditions,
    "shows": shows,
    "largest_share_of_a_wrong_motion": wrong,
    "digit_read": read,
    "clips": CLIPS,
    "steps": STEPS,
  }
