"""Searches for dead frames: pictures that a model cannot set in motion. The last line is one JSON object.

python -m experiments.dead_frames --workdir=runs/digits_causal --out=dead_frames

First a glitch (the first frame of a clip that is sampled with only two steps) starts a chain of segments,
each of which continues from the last frame of the previous one. Then the model continues pictures of several
kinds, several times each, and every continuation is scored by its motion. A page shows the distribution of
the scores, which properties of a picture predict them, and the pictures.
"""

import json

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model
from stale_jax.progress import Stage

WORKDIR = define_model()
OUT = flags.DEFINE_string("out", None, "Folder to write index.html to.")
PICTURES = flags.DEFINE_integer("pictures", 24, "Pictures of each kind.")
FUTURES = flags.DEFINE_integer(
  "futures", 2, "Continuations of each picture, with different prompts and noise."
)
SEGMENTS = flags.DEFINE_integer("segments", 3, "Segments of the chain.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0, upper_bound=2**20)
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
HOW = flags.DEFINE_string("how", "windows", "Sampler that continues movies: windows or causal.")
flags.mark_flags_as_required(["out"])


def main() -> None:
  from stale_jax.evaluation.dead_frames import find_dead_frames
  from stale_jax.evaluation.motion import STILL
  from stale_jax.files import at, make_folder
  from stale_jax.media.dead_frames_page import write_dead_frames
  from stale_jax.pipeline import load

  out = at(OUT.value)
  model = load(WORKDIR.value)
  settings = {"how": HOW.value, "steps": STEPS.value}
  with Stage("searching for dead frames"):
    found = find_dead_frames(model, PICTURES.value, FUTURES.value, SEED.value, SEGMENTS.value, **settings)
  dead = {name: float((x["most"] < STILL).mean()) for name, x in found.kinds.items()}
  count = sum(int((x["most"] < STILL).sum()) for x in found.kinds.values())
  verdict = f"Of {len(found.pictures)} pictures, each continued {FUTURES.value} times, {count} never moved."
  scores = {
    "verdict": verdict,
    "segments": found.segments,
    "real_speed": found.real_speed,
    "still": STILL,
    "kinds": {name: x["mean"].tolist() for name, x in found.kinds.items()},
    "predicted": found.predicted,
  }
  for number, part in enumerate(found.segments, 1):
    speed, retention = part["speed"], part["retention"]
    print(f"segment {number}: {speed:.2f} px per frame, {retention:.2f} times the speed of the first segment")
  header = f"{'kind':>14}{'speed':>8}{'least':>8}{'dead':>8}"
  print(f"{header}   (speeds in px per frame, {found.real_speed:.2f} in real clips; dead: share of pictures)")
  for name, x in found.kinds.items():
    print(f"{name:>14}{x['mean'].mean():8.2f}{x['mean'].min():8.2f}{dead[name]:8.2f}")
  make_folder(out)
  speed = [value for values in scores["kinds"].values() for value in values]
  write_dead_frames(out / "index.html", scores, found.movies, found.pictures, speed)
  print(f"{verdict} {out / 'index.html'}")
  means = {name: sum(values) / len(values) for name, values in scores["kinds"].items()}
  print(json.dumps({**scores, "kinds": means, "dead": dead, "model": model.name, "seed": SEED.value}))


if __name__ == "__main__":
  run(main)
