"""An adversary on patches, added late, brings the sharpness of decoded clips closer to that of real clips.

The packaged autoencoder is trained further, on smaller clips, with and without the adversary, from the same
two seeds. The discriminator starts from initial weights, as in LDM (arXiv 2112.10752), which adds it after
50,000 steps. The sharpness error is |log2(decoded / real)| of the energy of held-out clips, averaged over all
frequency bands but the coarsest. Value: the mean sharpness error over seeds with the adversary, divided by
that without it. Bar: 1, which every seed must meet. `lost` is the cost: for each seed, the mean squared error
with the adversary divided by that without it.
"""

STEPS, CLIPS, SEEDS, WEIGHT = 400, 256, 2, 0.5


def measure(seed: int) -> dict:
  import tempfile
  from pathlib import Path

  import jax
  import numpy as np

  from experiments.claims._small import autoencoder
  from stale_jax.checkpoints.named import AUTOENCODER
  from stale_jax.checkpoints.weights import load_weights, save_weights
  from stale_jax.config import build
  from stale_jax.evaluation import band_energy, evaluate_reconstruction
  from stale_jax.testing.models import trained
  from stale_jax.training.initial import init_params

  given, of = load_weights(AUTOENCODER)

  def decoded(run: int, weight: float) -> tuple[float, list[float]]:
    config = autoencoder(run, canvas=16, model=of["model"], objective={"adversarial": weight})
    config["optimizer"] |= {"learning_rate": 5e-4, "schedule": "constant"}
    params = init_params(build(config), jax.random.key(run))
    with tempfile.TemporaryDirectory() as folder:
      begun = Path(folder) / "begun.safetensors"
      save_weights(begun, {"params": {**params["params"], **given["params"]}}, config)
      model = trained(config, STEPS, init_from=str(begun))
    said, clip = evaluate_reconstruction(model, clips=CLIPS)
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
