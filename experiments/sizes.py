"""Compares ways of generating clips of other sizes than in training, with the packaged model of digits.

python -m experiments.sizes [--clips=12 --seed=0]

Random prompts at 12, 16 and 24 pixels (training: 16), all frames together: plainly, with scaled attention,
and with scaled attention and SD3's shift (`stale_jax.sizes`). Score: the share of clips in which a reader,
fitted on real clips of each size, finds both the digit and the colour of the prompt. It sees a patch around
the centre of mass of all ink, so that two digits in a clip, or scattered ink, are not read. The last line is
one JSON object.
"""

import json

from absl import flags

from experiments.main import run

CLIPS = flags.DEFINE_integer("clips", 12, "Number of clips of each size and way.", lower_bound=1)
SEED = flags.DEFINE_integer(
  "seed", 0, "Seed of the prompts and of the noise.", lower_bound=0, upper_bound=10**6
)
SIZES = (12, 16, 24)
WAYS = {
  "plain": {"scale_attention": False, "scale_shift": False},
  "scaled": {"scale_attention": True, "scale_shift": False},
  "scaled + shift": {"scale_attention": True, "scale_shift": True},
}


def main() -> None:
  clips, wanted = generated(CLIPS.value, SEED.value)
  scores = {size: {way: legible(x, size, wanted) for way, x in ways.items()} for size, ways in clips.items()}
  for size, row in scores.items():
    row["real clips"] = real(size, SEED.value)
  print(json.dumps({"clips": CLIPS.value, "scores": scores}))


def generated(count: int, seed: int) -> tuple[dict, dict]:
  """Returns (size -> way -> sight of the clips, label -> classes that the prompts ask for)."""
  import numpy as np

  from stale_jax.data.sources.digits import LABELS, caption
  from stale_jax.pipeline import load
  from stale_jax.sizes import sized

  model, rng = load("digits"), np.random.default_rng(seed)
  wanted = {name: rng.integers(0, classes, count) for name, classes in LABELS.items()}
  prompts = [caption({name: int(x[i]) for name, x in wanted.items()}) for i in range(count)]
  clips = {}
  for size in SIZES:
    clips[size] = {}
    for way, settings in WAYS.items():
      other = sized(model, size, size, **settings)
      seeds = range(seed * count, seed * count + count)
      clips[size][way] = other.sample(prompts, seeds, how="all_frames", batch=count)["sight"]
  return clips, wanted


def picture(clips) -> bytes:
  """A PNG of the first four clips of the largest size: one row per way, clip by clip."""
  import numpy as np

  from stale_jax.media.picture import contact_sheet, enlarge, png

  ways = clips[max(SIZES)]
  sheet = contact_sheet(np.stack([ways[way][i] for i in range(4) for way in WAYS]))
  return png(enlarge(sheet[None])[0])


def legible(sight, size: int, wanted) -> float:
  """The share of clips in which digit and colour are read as `wanted`."""
  from stale_jax.data import Digits
  from stale_jax.evaluation.reader import fitted_reader

  labels = fitted_reader(Digits(patch=1, canvas=size))(sight).labels
  return float(((labels["digit"] == wanted["digit"]) & (labels["colour"] == wanted["colour"])).mean())


def real(size: int, seed: int, clips: int = 256) -> float:
  """The same share for real test clips."""
  import numpy as np

  from stale_jax.data import Digits

  source = Digits(patch=1, canvas=size, split="test", seed=seed)
  examples = [source[i] for i in range(clips)]
  wanted = {name: np.array([e["labels"][name] for e in examples]) for name in ("digit", "colour")}
  return legible(np.stack([e["clip"]["sight"] for e in examples]), size, wanted)


if __name__ == "__main__":
  run(main)
