"""Movies fifty times as long as training clips are as lively at their end as at their beginning.

The packaged causal model, rolled out as its config says, makes 16 movies of 400 frames. Scores are defined in
evaluation/liveliness.py; a window is as long as a training clip. Value: the liveliness of the last three
windows divided by that of the first. Bar: .8. The claim also requires that the share of dead frames is at
most 1.2 times that of real clips; that digit, colour and speed are read back from the last window at least .9
times as often as from the first; and that saturation drifts by at most 5% of the first window's saturation.
"""

WINDOWS = 50


def measure(seed: int) -> dict:
  from stale_jax.evaluation import evaluate_liveliness
  from stale_jax.pipeline import load

  model = load("causal")
  seconds = WINDOWS * model.frames / next(iter(model.source.senses.values())).rate
  found, _ = evaluate_liveliness(model, clips=16, seed=1000 * seed, seconds=seconds)
  live, real = found["curves"]["liveliness"], found["real"]
  kept = sum(live[-3:]) / 3 / live[0]
  caption = found["caption/last"] / found["caption/first"]
  drift = found["saturation_drift"] / found["curves"]["saturation"][0]
  print(
    f"liveliness {live[0]:.3f}, at the end {sum(live[-3:]) / 3:.3f} (real clips {real['liveliness']:.3f}); "
    f"dead {found['dead']:.4f} (real {real['dead']:.4f}); caption {found['caption/first']:.3f}, at the end "
    f"{found['caption/last']:.3f}; saturation drifts by {drift:.3f}"
  )
  conditions = {
    "dead frames at most 1.2 times real ones": found["dead"] <= 1.2 * real["dead"],
    "captions at least .9": caption >= 0.9,
    "saturation drift at most .05": drift <= 0.05,
  }
  return {
    "value": kept,
    "bar": 0.8,
    "holds": kept >= 0.8 and all(conditions.values()),
    "conditions": conditions,
    "dead": found["dead"],
    "real_dead": real["dead"],
    "caption": caption,
    "saturation_drift": drift,
  }
