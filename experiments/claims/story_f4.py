"""Between the ends of a bouncing motion the predictor errs at most .8 times as much as the straight line.

The packaged semantic motion predictor (`models/motion_predictor.py`), trained by `experiments.motion` on
training handwriting, predicts the codes of the frames between the first and the last. It is compared with
linear interpolation on 256 clips of test handwriting that bounce in between. Value: the ratio of the mean
squared errors of the middle frame's code. Bar: .8. Also reported: the same ratio over all frames; the ratio
for the values of the decoded middle frame; and the distance of its centre of ink from the true one, in
pixels, for the predictor and for the interpolation.
"""

CLIPS = 256


def measure(seed: int) -> dict:
  import numpy as np

  from stale_jax.data import Digits
  from stale_jax.evaluation.reader import impacts, track
  from stale_jax.models.motion_predictor import interpolated
  from stale_jax.training.motion import load_motion

  motion = load_motion()
  source = Digits(split="test", seed=seed, frames=motion.frames, patch=1)
  clips = (source[i]["clip"] for i in range(4 * CLIPS))
  bouncing = (clip["sight"] for clip in clips if impacts(clip["touch"])[1:-1].any())
  sight = np.stack([x for x, _ in zip(bouncing, range(CLIPS), strict=False)])
  codes, middle = motion.encode(sight), motion.frames // 2
  ends = codes[:, 0], codes[:, -1]
  made = {"predictor": motion.predict(*ends), "line": np.asarray(interpolated(*ends, motion.frames))}

  def errors(frames, real):
    return np.square(frames - real).reshape(len(real), -1).mean(1)

  middles = {name: errors(x[:, middle], codes[:, middle]) for name, x in made.items()}
  whole = {name: errors(x, codes).mean() for name, x in made.items()}
  seen = {name: motion.decode(x[:, middle]) for name, x in made.items()}
  pixels = {name: errors(x, sight[:, middle]).mean() for name, x in seen.items()}

  def centre(frames):
    return track(np.stack([frames, frames], 1))["path"][:, 0]

  real = centre(sight[:, middle])
  off = {name: np.linalg.norm(centre(x) - real, axis=-1).mean() for name, x in seen.items()}
  value = float(middles["predictor"].mean() / middles["line"].mean())
  # Standard error over clips, by the delta method.
  spread = np.std(middles["predictor"] - value * middles["line"]) / middles["line"].mean() / CLIPS**0.5
  return {
    "value": value,
    "bar": 0.8,
    "holds": value <= 0.8,
    "standard_error": float(spread),
    "all_frames": float(whole["predictor"] / whole["line"]),
    "pixels": float(pixels["predictor"] / pixels["line"]),
    "off_by": float(off["predictor"]),
    "line_off_by": float(off["line"]),
    "clips": CLIPS,
  }
