"""With the same four-step sampler, a self-forced student's error grows more slowly than its teacher's.

The setting is that of `self_forcing_c4_slow`, but the teacher uses the student's sampler: four steps, without
guidance. Six students are trained, with six seeds. Value: the mean slope of the students' errors divided by
the mean slope of the teacher's, which must be positive; bar .7. The claim holds if the upper end of the 95%
interval is at most .7 (jackknife over seeds, Student's t with five degrees of freedom) and the students'
error is no larger than the teacher's in its own twenty guided steps, since an error that is large from the
start can hardly grow (`level`, the mean over seeds of the ratio of the mean errors, must be at most 1).
"""

WINDOWS, MOVIES, SEEDS = 5, 64, 6


def measure(seed: int) -> dict:
  import numpy as np
  from scipy.stats import t

  from experiments.claims._student import distilled, error_slope, errors
  from stale_jax.pipeline import load

  teacher, runs = load("causal"), []
  for each in range(seed, seed + SEEDS):
    student = distilled(each)
    few = student.system.diffusion.sampling
    sampler = {"solver": few.solver, "steps": few.steps, "guidance": few.guidance}
    runs.append(
      {
        "teacher": errors(teacher, each, WINDOWS, MOVIES, **sampler),
        "teacher, guided": errors(teacher, each, WINDOWS, MOVIES),
        "student": errors(student, each, WINDOWS, MOVIES),
      }
    )
    print(f"seed {each}: slopes " + ", ".join(f"{name} {error_slope(x):.2f}" for name, x in runs[-1].items()))

  slopes = {name: np.array([error_slope(run[name]) for run in runs]) for name in runs[0]}
  value = slopes["student"].mean() / slopes["teacher"].mean()
  without = np.array(
    [np.delete(slopes["student"], i).mean() / np.delete(slopes["teacher"], i).mean() for i in range(SEEDS)]
  )
  error = np.sqrt((SEEDS - 1) / SEEDS * np.square(without - without.mean()).sum())
  upper = value + t.ppf(0.975, SEEDS - 1) * error
  levels = [float(np.mean(run["student"]) / np.mean(run["teacher, guided"])) for run in runs]
  level = float(np.mean(levels))
  conditions = {
    "the teacher's error grows": bool(slopes["teacher"].mean() > 0),
    "upper end of the interval at most .7": bool(upper <= 0.7),
    "level at most 1": level <= 1,
  }
  return {
    "value": float(value),
    "bar": 0.7,
    "holds": all(conditions.values()),
    "conditions": conditions,
    "interval": [float(2 * value - upper), float(upper)],
    "level": level,
    "levels": levels,
    "slopes": {name: x.tolist() for name, x in slopes.items()},
    "errors": runs,
    "movies": MOVIES,
  }
