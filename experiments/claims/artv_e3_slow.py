"""With the mask, a still background stays still for 200 frames while what moves keeps moving.

Two small models (configs/digits_artv.py), with and without the mask, are trained for as many steps from the
same seed, and continue the first three frames of held-out clips. Value: the mean squared error of the
background over the last 50 of 200 frames with the mask, divided by that without it; bar .5. The background is
every value that the real digit never covers. Motion retention (`stale_jax/evaluation/liveliness.py`) must be
at least .8 with the mask; the retention of real clips and of the unmasked model is reported too.

`artv_e3_untouched_slow` asks the same of the pixels that the digit neither covers nor comes next to.
"""


def measure(seed: int) -> dict:
  from experiments.claims._artv import background_drift, judge_background

  return judge_background(background_drift(seed), "uncovered")
