"""A video file is edited as well as a clip with all senses: its new digit is read (.8) where the old one was.

As `cyclediffusion_translates_slow`, but 24 clips are written as MP4 files (H.264) and read again, so that
they have sight alone, with the errors of the codec; the other senses are made along. Value: the share of
edited clips in which a reader reads the new digit. Bar: .8. The distance to the source must be at most half
of that of new clips, and the edited clips must have all senses of the model.
"""

CLIPS = 24


def measure(seed: int) -> dict:
  import dataclasses
  import tempfile
  from pathlib import Path

  import numpy as np

  from experiments.claims._editing import task
  from stale_jax.editing import edit, read_clip
  from stale_jax.evaluation.reader import fitted_reader
  from stale_jax.media import write_video
  from stale_jax.pipeline import load

  model = load("digits")
  reader = fitted_reader(dataclasses.replace(model.source, split="train"))
  given, seeds = task(model, CLIPS, seed), range(seed, seed + CLIPS)
  source, senses = given.clip["sight"], model.source.senses
  with tempfile.TemporaryDirectory() as folder:
    read = []
    for number, sight in enumerate(source):
      path = Path(folder) / f"{number}.mp4"
      write_video(path, {"sight": sight}, {"sight": senses["sight"]}, "h264")
      read.append(read_clip(path, model)[0]["sight"])
  edited = edit(model, {"sight": np.stack(read)}, given.source, given.target, seeds)
  new = model.sample(given.target, list(seeds))["sight"]
  path, seen = reader(source).path, reader(edited["sight"])
  right = float(np.mean(seen.labels["digit"] == given.digits))
  distance = {
    name: float(np.linalg.norm(there - path, axis=-1).mean())
    for name, there in (("edited", seen.path), ("new", reader(new).path))
  }
  ratio = distance["edited"] / distance["new"]
  conditions = {
    "the distance to the source is at most half of that of new clips": ratio <= 0.5,
    "all senses of the model are made": set(edited) == {sense.name for sense in model.system.data.senses},
  }
  return {
    "value": right,
    "bar": 0.8,
    "holds": bool(right >= 0.8 and all(conditions.values())),
    "conditions": conditions,
    "distance_ratio": ratio,
    "distance": distance,
    "codec_error": float(np.abs(np.stack(read) - source).mean()),
    "clips": CLIPS,
  }
