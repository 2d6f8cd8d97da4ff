"""Trained in its own rollouts, a model's error grows more slowly than that of its teacher.

Self-Forcing (arXiv 2506.08009). The teacher is the causal model that ships with the package. It was trained
with an independent time for each frame (diffusion forcing: teacher forcing with noise on the conditioning
frames, which makes it the harder rival), and it samples in twenty guided steps. The student starts from the
teacher's weights and samples in four unguided steps. Both make 64 movies, five times as long as a training
clip. Each movie is divided into five windows; the error of a window is the kernel distance (KID) to the same
window of real movies (`_student.errors`). The slope is that of the line fitted to the five errors. Value: the
student's slope divided by the teacher's; bar .7. The claim holds only if the teacher's slope is positive. One
student is trained per seed.

See `self_forcing_c4_equal_sampler_slow` for the same comparison when the teacher uses the student's sampler.
"""

WINDOWS, MOVIES = 5, 64


def measure(seed: int) -> dict:
  from experiments.claims._student import distilled, error_slope, errors
  from stale_jax.pipeline import load

  student = distilled(seed)
  chunk = student.system.diffusion.rollout.chunk
  found = {
    "teacher": errors(load("causal"), seed, WINDOWS, MOVIES, chunk=chunk),
    "student": errors(student, seed, WINDOWS, MOVIES),
  }
  slopes = {name: error_slope(values) for name, values in found.items()}
  value = slopes["student"] / slopes["teacher"]
  return {
    "value": value,
    "bar": 0.7,
    "holds": slopes["teacher"] > 0 and value <= 0.7,
    "slopes": slopes,
    "errors": found,
    "movies": MOVIES,
  }
