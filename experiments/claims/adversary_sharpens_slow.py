"""A judge of patches makes what an autoencoder decodes as sharp as real clips are.

Small autoencoders of moving digits are trained with and without the adversary, from the same two seeds. Value
is the distance of log2(decoded / real) energy of held-out clips to 0, mean over the fine bands and the seeds,
with the adversary over without it; bar 1, for every seed. `lost` is what it costs: the ratio of mean squared
errors.
"""

STEPS, CLIPS, SEEDS, WEIGHT = 500, 256, 2, 0.5


def measure(seed: int) -> dict:
  import numpy as np

  from experiments.claims._small import autoencoder, trained
  from stale_jax.evaluation import band_energy, evaluate_reconstruction

  def decoded(run: int, weight: float) -> tuple[float, list[float]]:
    config = autoencoder(run, canvas=12, objective={"adversarial": weight})
    said, clip = evaluate_reconstruction(trained(config, STEPS), clips=CLIPS)
    return said["mse"], band_energy(clip["sight"][1::2], clip["sight"][::2])

  rows = []
  for run in range(SEEDS * seed, SEEDS * (seed + 1)):
    rows.append([decoded(run, weight) for weight in (0.0, WEIGHT)])
    for name, (mse, ratios) in zip(("without", "with"), rows[-1], strict=True):
      print(f"seed {run} {name:8} mse {mse:.5f}   energy over real, fine to coarse: {np.round(ratios, 4)}")
  distances = np.array([[np.mean(np.abs(np.log2(ratios[:-1]))) for _, ratios in row] for row in rows])
  value = float(distances[:, 1].mean() / distances[:, 0].mean())
  return {
    "value": value,
    "bar": 1.0,
    "holds": bool((distances[:, 1] < distances[:, 0]).all()),
    "distances": {"without": distances[:, 0].tolist(), "with": distances[:, 1].tolist()},
    "lost": [with_it[0] / without[0] for without, with_it in rows],
    "steps": STEPS,
    "weight": WEIGHT,
  }
