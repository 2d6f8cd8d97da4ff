"""At equal steps a model of curated videos makes better clips than a model of the folder they come from.

The folder has the faults of real ones (`corrupt_files.pollute`): cuts, photographs, drawings, darkness, text,
re-uploaded videos, black videos, and files that are not videos. Curation with its default settings turns it
into shards. The same small model is trained for the same number of steps on equally many one-second windows,
from the same seeds, once on the folder and once on the shards. The error is the Fréchet distance of generated
clips to windows of clean scenes that neither model has seen. Its features are the means of blocks of 4x4
pixels in every frame and the logarithms of the energies of frequency bands. Value: the greatest ratio over
seeds of the errors, curated divided by polluted. Bar: .9. `of_the_data` are the Fréchet distances of the
training windows, which a model can hardly improve on. `kid_of_each_seed` are the ratios of the kernel
distance (KID) of the same features, which is not biased by the number of clips.
"""

ORIGINALS, HELD_OUT = 40, 160  # Videos.
WINDOWS, STEPS, CLIPS, SEEDS = 2048, 1000, 512, 2
SIZES = {"frames": 4, "height": 8, "width": 8, "rate": 4.0, "patch": (4, 8, 8), "hearing": False}


def measure(seed: int) -> dict:
  import tempfile
  from pathlib import Path

  import numpy as np

  from stale_jax.data.curate import Settings
  from stale_jax.data.curate.run import curate
  from stale_jax.testing import corrupt_files, scenes

  with tempfile.TemporaryDirectory() as folder:
    raw, clean, output = (Path(folder) / name for name in ("raw", "clean", "out"))
    corrupt_files.pollute(raw, ORIGINALS, seed)
    scenes.clean(clean, HELD_OUT, seed + 1)
    said = curate(raw, output, settings=Settings(test_share=0), salt="a salt of the claim's", say=print)
    real = windows({"name": "folder", "path": str(clean), "held_out": 0.0}, seed)[:CLIPS]
    data = {
      "polluted": windows({"name": "folder", "path": str(raw), "held_out": 0.0}, seed),
      "curated": windows({"name": "shards", "path": str(output / "clips/1.0.0")}, seed),
    }
  distance = Distance(real)
  of_the_data = {name: distance(sight[:CLIPS])["frechet"] for name, sight in data.items()}
  print("Fréchet distance of the training windows: " + _listed(of_the_data))
  errors: dict[str, list[float]] = {name: [] for name in data}
  kid: dict[str, list[float]] = {name: [] for name in data}
  for run in range(SEEDS * seed, SEEDS * (seed + 1)):
    for name, sight in data.items():
      found = distance(made(sight, run))
      errors[name].append(found["frechet"])
      kid[name].append(found["kid"])
    print(
      f"seed {run}: Fréchet distance of the generated clips: "
      + _listed({name: each[-1] for name, each in errors.items()})
    )
  ratios = np.divide(errors["curated"], errors["polluted"])
  return {
    "value": float(ratios.max()),
    "bar": 0.9,
    "holds": bool(ratios.max() <= 0.9),
    "of_each_seed": ratios.tolist(),
    "kid_of_each_seed": np.divide(kid["curated"], kid["polluted"]).tolist(),
    "kid": kid,
    **errors,
    "of_the_data": of_the_data,
    "steps": STEPS,
    "counts": said["counts"],
  }


def windows(section: dict, seed: int):
  """The first WINDOWS windows of the source that `section` configures, [n, frames, height, width, 3]."""
  import numpy as np

  from stale_jax.data import build_source

  source = build_source({**section, **SIZES, "seed": seed})
  return np.stack([source[i]["clip"]["sight"] for i in range(WINDOWS)])


def made(sight, seed: int):
  """Trains a small model on windows in memory, and samples CLIPS clips from it.

  Decoding the windows from their files in every step would take most of the time.

  Args:
    sight: the windows, [n, frames, height, width, 3].
    seed: seed of the training.

  Returns:
    Sight of the generated clips, [CLIPS, frames, height, width, 3].
  """
  import dataclasses

  from experiments.claims._small import digits
  from stale_jax.clip import Sense
  from stale_jax.data.build import SOURCES
  from stale_jax.data.source import Source
  from stale_jax.testing.models import trained

  shape, channels = sight.shape[2:], ("red", "green", "blue")
  sense = Sense(name="sight", shape=shape, rate=SIZES["rate"], patch=SIZES["patch"], channels=channels)

  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Kept(Source):
    split: str = "train"
    frames: int = SIZES["frames"]

    senses = property(lambda self: {"sight": sense})

    def __len__(self) -> int:
      return len(sight)

    def __getitem__(self, index: int) -> dict:
      return {"clip": {"sight": sight[index]}, "caption": "", "labels": {}, "index": index}

  config = digits(seed, canvas=16, width=128, depth=3, text_length=4)
  config["source"] = {"name": "kept"}
  config["ema"]["decay"] = 0.99
  config["sampling"] |= {"batch": 64}
  SOURCES["kept"] = Kept
  try:
    model = trained(config, STEPS)
  finally:
    del SOURCES["kept"]
  return model.sample([""] * CLIPS, range(CLIPS), guidance=1.0)["sight"]


class Distance:
  """Fréchet and kernel distance of clips to real clips; features have variance 1 over the real clips.

  Args:
    real: sight of the real clips, [n, frames, height, width, 3].
  """

  def __init__(self, real):
    found = self._features(real)
    self._mean, self._std = found.mean(0), found.std(0)
    self._real = (found - self._mean) / self._std

  def __call__(self, sight) -> dict[str, float]:
    from stale_jax.evaluation import frechet, kernel_distance

    features = (self._features(sight) - self._mean) / self._std
    return {"frechet": frechet(features, self._real), "kid": kernel_distance(features, self._real)}

  def _features(self, sight):
    import numpy as np

    from stale_jax.objectives.pyramid import BANDS, band_energies

    n, frames, height, width, _ = sight.shape
    sight = np.asarray(sight, np.float64)
    blocks = sight.reshape(n, frames, height // 4, 4, width // 4, 4, 3).mean((3, 5)).reshape(n, -1)
    # The energy of rounding to bytes is added, so that the logarithm is finite for black pictures.
    energies = np.log(np.stack(band_energies(sight, BANDS), 1) + 1e-5)
    return np.concatenate([blocks, energies], 1)


def _listed(values: dict[str, float]) -> str:
  return ", ".join(f"{name} {value:.1f}" for name, value in values.items())
