"""With the mask, a still background stays still for 200 frames while what moves keeps moving.

Two small models (configs/digits_artv.py), with and without the mask, same steps and seed, continue the first
three frames of held-out clips. Value: the mean squared distance of the background from what it was, over the
last 50 of 200 frames, divided by that of the unmasked model; bar .5. The background is every value that the
real digit never covers. Motion retention (`stale_jax/evaluation/liveliness.py`) must be at least .8 with the
mask; that of real clips and of the unmasked model is reported too.

See `artv_e3_untouched_slow` for the pixels that the digit does not even come next to.
"""


def measure(seed: int) -> dict:
  from experiments.claims._artv import background_drift, judge_background

  return judge_background(background_drift(seed), "uncovered")
