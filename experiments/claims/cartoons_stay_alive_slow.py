"""Cartoons fifty times as long as training clips stay as lively as real ones (.8), and keep their figures.

The packaged model of cartoons, rolled out as its config says, makes 6 movies; a window is as long as a
training clip. Value: the liveliness (`evaluation/liveliness.py`), a mean over the windows after the first,
divided by that of real clips of the same captions and length. Bar: .8. The skins, hairs and builds that the
packaged reader reads in the last window must be those of the first in .9 of all cases. Real clips with a
frozen first frame, and with another figure of the same character in each window, must fail.
"""

WINDOWS, MOVIES = 50, 6


def measure(seed: int) -> dict:
  from experiments.claims._cartoons import judged
  from stale_jax.evaluation.cartoons import evaluate_identity
  from stale_jax.pipeline import load
  from stale_jax.testing.cartoon_models import Frozen, OtherFigures

  def measured(model) -> dict:
    found, _ = evaluate_identity(model, WINDOWS, MOVIES, 1000 * seed)
    live, real = found["liveliness"], found["real"]
    print(
      f"liveliness {live:.3f} (real {real['liveliness']:.3f}), identity {found['identity']:.3f} "
      f"(real {real['identity']:.3f})"
    )
    conditions = {
      "identity at least .9": found["identity"] >= 0.9,
      "real clips as long": real["frames"] >= WINDOWS * model.source.frames,
    }
    more = {
      "liveliness": live,
      "identity": found["identity"],
      "real": {name: real[name] for name in ("liveliness", "identity")},
    }
    return {"value": live / real["liveliness"], "conditions": conditions, **more}

  return judged(measured, (Frozen, OtherFigures), load("cartoons"), 0.8)
