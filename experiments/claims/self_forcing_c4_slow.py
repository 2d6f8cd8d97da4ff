"""Trained in its own rollouts, a model's error grows more slowly than one's that was taught on real frames.

Self-Forcing (arXiv 2506.08009): the causal model that ships with the package, which had a time for each
frame in training (diffusion forcing: teacher forcing with noise on what is given, the harder rival), and a
student that begins as it. Both make 64 movies five times as long as a clip by the same rollout in the same
four steps. The error is the distance of each clip's length of them from real movies' (`_student.errors`), its
slope that of the line through the five. Value is the student's slope over the other's; bar .7. As what is bad
from the start can hardly grow worse, the student's error must be the lesser one in all five, too. `level` is
its mean over that of the teacher in its own twenty guided steps. One student is trained a seed.
"""

WINDOWS, MOVIES = 5, 64


def measure(seed: int) -> dict:
  from experiments.claims._student import distilled
  from stale_jax.pipeline import load

  return compared(load("causal"), distilled(seed), seed)


def compared(teacher, student, seed: int) -> dict:
  """The claim, of models that are there."""
  import numpy as np

  from experiments.claims._student import errors

  few = student.system.diffusion.sampling
  found = {
    "teacher": errors(
      teacher, seed, WINDOWS, MOVIES, solver=few.solver, steps=few.steps, guidance=few.guidance
    ),
    "teacher, guided": errors(teacher, seed, WINDOWS, MOVIES),
    "student": errors(student, seed, WINDOWS, MOVIES),
  }
  slope = {name: float(np.polyfit(range(WINDOWS), values, 1)[0]) for name, values in found.items()}
  value = slope["student"] / slope["teacher"]
  level = float(np.mean(found["student"]) / np.mean(found["teacher, guided"]))
  less = all(a < b for a, b in zip(found["student"], found["teacher"], strict=True))
  return {
    "value": value,
    "bar": 0.7,
    "holds": slope["teacher"] > 0 and value <= 0.7 and less,
    "level": level,
    "slopes": slope,
    "errors": found,
    "movies": MOVIES,
  }
