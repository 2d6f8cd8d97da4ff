"""A linear probe reads the digit from the denoiser's features better than from random features or pixels.

Diffusion features (arXiv 2307.08702; `evaluation.features`) of the digits model, which sees sight alone and
no caption. The tokens after each block are averaged over space and time, at five noise levels; validation
clips choose block, noise level and penalty. Value: the accuracy on 320 test clips, whose handwriting no probe
was fitted to, divided by that of the same sweep over a network with random weights and open gates. Bar: 1.3.
The accuracy must also be above that of the same probe of the clean pixels (all of them, and their mean over
time), and by .15 above the best block at time .95. The fake that sees the clip's caption must fail the last
condition: its features tell the label at every noise level.
"""

TIMES = (0.05, 0.2, 0.4, 0.7, 0.95)
CLIPS = 320


def measure(seed: int) -> dict:
  from stale_jax.evaluation.features import labelled_splits, probe_label, sweep
  from stale_jax.pipeline import load
  from stale_jax.testing.models import drawn_like

  model = load("digits")
  splits = labelled_splits(model, CLIPS, seed)
  networks = {"trained": model, "random": drawn_like(model, seed)}
  found = {name: sweep(each, splits, TIMES, seed) for name, each in networks.items()}
  found["sees the caption"] = sweep(model, splits, TIMES[1::3], seed, see_captions=True)
  accuracy = {}
  for name, by_label in found.items():
    accuracy[name] = {label: float(each.test[each.best]) for label, each in by_label.items()}
    times = TIMES if len(by_label["digit"].test[0]) == len(TIMES) else TIMES[1::3]
    for label, each in by_label.items():
      block, time = each.best
      print(
        f"{name:16} {label:10} {accuracy[name][label]:.3f} after block {block} at {times[time]}", flush=True
      )
  pictures = {
    "pixels": [part.pixels for part in splits],
    "mean picture": [part.clip["sight"].mean(1).reshape(len(part.index), -1) for part in splits],
  }
  for name, inputs in pictures.items():
    accuracy[name] = {label: probe_label(splits, label, inputs)[1] for label in splits.train.labels}
    print(f"{name:16} {accuracy[name]}", flush=True)
  digit = {name: by_label["digit"] for name, by_label in accuracy.items()}
  noisy = {name: float(by_label["digit"].test[:, -1].max()) for name, by_label in found.items()}
  value = digit["trained"] / digit["random"]
  conditions = {
    "the probe of features beats the probe of pixels": digit["trained"]
    > max(digit[name] for name in pictures),
    "features at time .95 are worse by .15": digit["trained"] >= noisy["trained"] + 0.15,
    "features that see the caption are not": digit["sees the caption"] < noisy["sees the caption"] + 0.15,
  }
  return {
    "value": value,
    "bar": 1.3,
    "holds": bool(value >= 1.3 and all(conditions.values())),
    "conditions": conditions,
    "accuracy": accuracy,
    "at_time_0.95": noisy,
    "grid": {label: each.test.round(4).tolist() for label, each in found["trained"].items()},
    "times": TIMES,
    "clips": CLIPS,
  }
