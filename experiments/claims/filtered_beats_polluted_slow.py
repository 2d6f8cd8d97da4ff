"""At equal steps a model of curated videos makes better clips than a model of the folder they come from.

The folder is as real ones are (`_planted.pollute`): cuts, photographs, drawings, darkness, writing, videos
put up again, black ones, and files that are no videos. Curation as it is shipped makes shards of it. The same
small model is trained for the same steps on windows of a second, from the same seeds, once of the folder and
once of the shards. Error is the Fréchet distance of what it makes to windows of clean scenes that neither has
seen; its features are the means of blocks of 4x4 pixels in every frame, and the logarithms of the energies of
bands. Value is the worst of the seeds' ratios, curated over polluted; bar .9. `of_the_data` are the distances
of the training windows themselves, below which a model can hardly come.
"""

ORIGINALS, HELD_OUT = 40, 160  # Videos.
STEPS, CLIPS, SEEDS = 1000, 512, 2
WINDOW = {"frames": 4, "height": 16, "width": 16, "rate": 4.0, "patch": (2, 4, 4), "hearing": False}


def measure(seed: int) -> dict:
  import tempfile
  from pathlib import Path

  import numpy as np

  from experiments.claims import _planted
  from experiments.claims._small import trained
  from stale_jax.data.curate import Settings
  from stale_jax.data.curate.run import curate
  from stale_jax.evaluation import frechet

  with tempfile.TemporaryDirectory() as folder:
    raw, clean, output = (Path(folder) / name for name in ("raw", "clean", "out"))
    _planted.pollute(raw, ORIGINALS, seed)
    _planted.clean(clean, HELD_OUT, seed + 1)
    said = curate(raw, output, settings=Settings(test_share=0), salt="a salt of the claim's", say=print)
    sections = {
      "polluted": {"name": "folder", "path": str(raw), "held_out": 0.0, **WINDOW},
      "curated": {"name": "shards", "path": str(output / "clips/1.0.0"), **WINDOW},
    }
    real = _sight({"name": "folder", "path": str(clean), "held_out": 0.0, **WINDOW}, seed)
    features = Features(real)

    def distance(sight) -> float:
      return frechet(features(sight), features(real))

    of_the_data = {name: distance(_sight(section, seed)) for name, section in sections.items()}
    print("Fréchet distance of the training windows: " + _listed(of_the_data))
    errors: dict[str, list[float]] = {name: [] for name in sections}
    for run in range(SEEDS * seed, SEEDS * (seed + 1)):
      for name, section in sections.items():
        model = trained(_config(section, run), STEPS)
        made = model.sample([""] * CLIPS, [seed + i for i in range(CLIPS)], guidance=1.0)
        errors[name].append(distance(made["sight"]))
      print(f"seed {run}: of what is made: " + _listed({name: each[-1] for name, each in errors.items()}))
  ratios = np.divide(errors["curated"], errors["polluted"])
  return {
    "value": float(ratios.max()),
    "bar": 0.9,
    "holds": bool(ratios.max() <= 0.9),
    "of_each_seed": ratios.tolist(),
    **errors,
    "of_the_data": of_the_data,
    "steps": STEPS,
    "counts": said["counts"],
  }


class Features:
  """Of clips [n, frames, height, width, 3], each scaled to what varies 1 among `real` ones."""

  def __init__(self, real):
    self._mean, self._std = 0.0, 1.0
    found = self(real)
    self._mean, self._std = found.mean(0), found.std(0)

  def __call__(self, sight):
    import numpy as np

    from stale_jax.objectives.pyramid import BANDS, band_energies

    n, frames, height, width, _ = sight.shape
    sight = np.asarray(sight, np.float64)
    blocks = sight.reshape(n, frames, height // 4, 4, width // 4, 4, 3).mean((3, 5)).reshape(n, -1)
    energies = np.log(np.stack(band_energies(sight, BANDS), 1) + 1e-6)
    return (np.concatenate([blocks, energies], 1) - self._mean) / self._std


def _sight(section: dict, seed: int):
  import numpy as np

  from stale_jax.data import build_source

  source = build_source({**section, "seed": seed})
  return np.stack([source[i]["clip"]["sight"] for i in range(CLIPS)])


def _config(section: dict, seed: int) -> dict:
  from experiments.claims._small import digits

  config = digits(seed, canvas=16, depth=3)
  config["source"] = section
  config["ema"]["decay"] = 0.99
  config["training"] |= {"batch": 16}
  config["sampling"] |= {"batch": 64}
  return config


def _listed(values: dict[str, float]) -> str:
  return ", ".join(f"{name} {value:.1f}" for name, value in values.items())
