"""Trained in its own rollouts, a model's error grows more slowly than one's that was taught on real frames.

Self-Forcing (arXiv 2506.08009): the causal model that ships with the package, which had a time for each
frame in training (diffusion forcing: teacher forcing with noise on what is given, the harder rival), sampled
in twenty guided steps; and a student of four steps of it. Both make 64 movies five times as long as a clip.
The error is the distance of each clip's length of them from real movies' (`_student.errors`), its slope that
of the line through the five. Value is the student's slope over the teacher's; bar .7. One student is trained
a seed.
"""

WINDOWS, MOVIES, STEPS = 5, 64, 60


def measure(seed: int) -> dict:
  from experiments.claims._student import distilled
  from stale_jax.pretrained import load

  return compared(load("causal"), distilled(seed, STEPS), seed)


def compared(teacher, student, seed: int) -> dict:
  """The claim, of models that are there."""
  import numpy as np

  from experiments.claims._student import errors

  chunk = student.experiment.rollout.chunk
  found = {
    "teacher": errors(teacher, seed, WINDOWS, MOVIES, chunk=chunk),
    "student": errors(student, seed, WINDOWS, MOVIES),
  }
  slope = {name: float(np.polyfit(range(WINDOWS), values, 1)[0]) for name, values in found.items()}
  value = slope["student"] / slope["teacher"]
  return {
    "value": value,
    "bar": 0.7,
    "holds": slope["teacher"] > 0 and value <= 0.7,
    "slopes": slope,
    "errors": found,
    "movies": MOVIES,
  }
