"""At equal steps the DoG objective brings the energy of fine bands closer to that of real clips.

Small models of moving digits (sight only, 12x12 pixels) are trained with and without the objective, from the
same three seeds. The distance is |log2(generated / real)| of the energy, averaged over all frequency bands
but the coarsest. Value: the mean distance over seeds with the objective, divided by that without it. Bar: 1;
every seed must improve.
"""

STEPS, CLIPS, WEIGHT = 400, 128, 4.0


def measure(seed: int) -> dict:
  import numpy as np

  from experiments.claims._small import digits
  from stale_jax.evaluation import band_energy
  from stale_jax.testing.models import trained

  real = range(CLIPS)

  def energies(seed, **more):
    config = digits(seed, canvas=12, frames=4, patch=2, depth=2, heads=2)
    config["sampling"].update({"guidance": 1.0, "batch": 64})
    model = trained({**config, **more}, STEPS, batch=32)
    source = model.system.data.source
    examples = [source[i] for i in real]
    clip = model.sample([e["caption"] for e in examples], real)
    return band_energy(clip["sight"], np.stack([e["clip"]["sight"] for e in examples]))

  def distance(ratios):
    return float(np.mean(np.abs(np.log2(ratios[:-1]))))

  rows = []
  for run in range(3):
    plain = energies(3 * seed + run)
    dog = energies(3 * seed + run, dog={"weight": WEIGHT})
    rows.append((plain, dog))
    print(f"seed {3 * seed + run}: energy generated / real, fine to coarse")
    for name, ratios in (("plain", plain), ("with DoG", dog)):
      print(f"  {name:9}" + "".join(f"{r:8.3f}" for r in ratios) + f"   distance {distance(ratios):.3f}")
  without, with_dog = (np.array([distance(row[i]) for row in rows]) for i in (0, 1))
  value = float(with_dog.mean() / without.mean())
  return {
    "value": value,
    "bar": 1.0,
    "holds": bool(value < 1 and (with_dog < without).all()),
    "distance_plain": without.tolist(),
    "distance_dog": with_dog.tolist(),
    "ratios_plain": [row[0] for row in rows],
    "ratios_dog": [row[1] for row in rows],
    "steps": STEPS,
    "weight": WEIGHT,
  }
