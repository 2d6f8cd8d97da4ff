"""A prior tuned with 480 calls of the sampler raises the log-probability of a digit by .5 of its spread.

FIND (arXiv 2407.19453; `sampling.search`) tunes the initial noise of the model of digits, which makes clips
without a prompt in 4 steps, so that a reader reads a three, a five or a seven in their sight, one digit per
search. Only the noise of the other senses is tuned: they have few values, and sight follows them. Value: the
mean over the three searches of the gain in mean log-probability, in standard deviations of the
log-probability under the uniform prior, over the same 128 seeds, which the searches have not seen. Bar: .5.

- Searches with random rewards must gain less than .1, on average over the three searches.
- All noise must be in the box.
- The Frechet distance of clips of the tuned prior to real clips must be at most 1.25 of that of clips of the
  uniform prior, for each search.

Reported beside: the mean log-probability of the best of N clips of the uniform prior, with as many calls in
all, if 1, 16 or 128 clips are wanted.
"""

CLIPS, DIGITS = 128, (3, 5, 7)
SENSES = ("sound", "touch", "smell", "taste")
HOW = {"how": "all_frames", "steps": 4, "guidance": 1.0}
REAL = 2048


def measure(seed: int) -> dict:
  import dataclasses

  import numpy as np

  from stale_jax.checks import keys_of
  from stale_jax.evaluation.frechet import frechet
  from stale_jax.evaluation.reader import fitted_reader
  from stale_jax.finding import find_prior
  from stale_jax.pipeline import load
  from stale_jax.sampling.noise_prior import Coarse

  model = load("digits")
  reader = fitted_reader(dataclasses.replace(model.source, split="train"))
  test = dataclasses.replace(model.source, split="test")
  real = reader(np.stack([test[i]["clip"]["sight"] for i in range(REAL)])).features
  fresh = range((1 << 31) + seed * CLIPS, (1 << 31) + (seed + 1) * CLIPS)

  def read(prior):
    return reader(model.sample([""] * CLIPS, fresh, prior=prior, **HOW)["sight"])

  flat = read(None)
  base = frechet(flat.features, real)
  searches, outside, calls = [], 0.0, 0
  for number, digit in enumerate(DIGITS):
    own = 3 * seed + number
    random = np.random.default_rng(own)

    def reward(clips, digit=digit):
      return reader(clips["sight"]).log_probabilities["digit"][:, digit]

    def nothing(clips, random=random):
      return random.normal(size=len(clips["sight"]))

    before = flat.log_probabilities["digit"][:, digit]
    row = {"digit": digit, "flat": float(before.mean())}
    for name, how in (("tuned", reward), ("random", nothing)):
      found = find_prior(model, [""], how, own, coarse=Coarse(senses=SENSES), **HOW)
      reading, calls = read(found.prior), max(calls, found.calls)
      after = reading.log_probabilities["digit"][:, digit]
      noise = found.prior.draw(model.system.diffusion.process, model.system.data.senses, keys_of(fresh))
      outside = max(outside, *(float(abs(x).max()) - 1 for x in noise.values()))
      row[name] = float(after.mean())
      row[f"{name} gain"] = float((after.mean() - before.mean()) / before.std())
      row[f"{name} error"] = float((after - before).std() / before.std() / CLIPS**0.5)
      row[f"{name} nats"] = found.divergence
      row[f"{name} frechet ratio"] = frechet(reading.features, real) / base
      row[f"{name} share"] = float(np.mean(reading.labels["digit"] == digit))
    row["flat share"] = float(np.mean(flat.labels["digit"] == digit))
    for wanted in (1, 16, 128):
      row[f"best of {1 + found.calls / wanted:g} for {wanted}"] = best_of(before, 1 + found.calls / wanted)
    searches.append(row)
    print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
  value, control = (float(np.mean([row[f"{name} gain"] for row in searches])) for name in ("tuned", "random"))
  conditions = {
    "random rewards gain less than .1": abs(control) < 0.1,
    "the noise is in the box": outside <= 0,
    "at most 500 calls": calls <= 500,
    "the Frechet distance is at most 1.25 of that of the uniform prior": all(
      row["tuned frechet ratio"] <= 1.25 for row in searches
    ),
  }
  return {
    "value": value,
    "bar": 0.5,
    "holds": bool(value >= 0.5 and all(conditions.values())),
    "conditions": conditions,
    "random_gain": control,
    "searches": searches,
    "frechet_of_the_uniform_prior": base,
    "clips": CLIPS,
  }


def best_of(values, count: float) -> float:
  """The expected greatest of `count` draws, with replacement, from `values`."""
  import numpy as np

  below = np.linspace(0, 1, len(values) + 1) ** count
  return float(np.sum(np.sort(values) * np.diff(below)))
