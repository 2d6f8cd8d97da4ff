"""Does the rest of the recipe of Stable Diffusion 3 help: densities of times, two encoders, mixed captions?

The first row is what ships: times logit-normal with mean -1.5 of logit(1 - t), one text encoder, and captions
that say everything.
"""

BASE = "configs/digits_micro.py"
SUITES = ("denoising", "captions")
ROWS = {
  "shipped": {},
  "times_logit_normal_0_1": {"times.mean": 0.0, "times.std": 1.0},
  "times_mode": {"times": {"name": "mode", "scale": 1.29}},
  "times_cosmap": {"times": {"name": "cosmap"}},
  "two_encoders": {"model.word_buckets": 1024},
  "two_encoders_dropped": {"model.word_buckets": 1024, "training.encoder_dropout": (0.464, 0.464)},
  "half_original_captions": {"source.original_captions": 0.5},
  "original_captions": {"source.original_captions": 1.0},
}
