"""Trains a config: the entry point of `experiments.train` and of notebooks."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from stale_jax.compilation import keep_compiled
from stale_jax.config import build, resolve
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.files import AnyPath
from stale_jax.hosts import leads
from stale_jax.media.video import gif
from stale_jax.memory import keep_memory
from stale_jax.pipeline import Model
from stale_jax.progress import Stage
from stale_jax.training.experiment import Experiment
from stale_jax.training.loop import train_loop
from stale_jax.training.metrics import Evaluation
from stale_jax.training.state import State


def train(config: Mapping[str, Any], workdir: str | AnyPath, profile: tuple[int, int] | None = None) -> State:
  """Builds `config` and trains it in `workdir`, or continues the run that is there.

  Args:
    config: plain data; keys that are left out have their defaults.
    workdir: folder of the run: a path, or gs://BUCKET/FOLDER.
    profile: (start, stop), the steps to trace; the trace is written to `workdir`/profile.

  Returns:
    The state after the last step.

  Raises:
    UserError: `workdir` is empty; or as `build` and `train_loop`.
  """
  if not str(workdir):
    raise UserError("workdir is empty: give the folder of the run.")
  keep_memory()
  compiled = keep_compiled()
  if jax.default_backend() != "cpu" and leads():
    print(
      f"compiled programs are kept in {compiled}; set JAX_COMPILATION_CACHE_DIR to change it.", flush=True
    )
  with Stage("building the model and its data"):
    experiment = build(config)
  evaluate = functools.partial(_evaluate, experiment) if experiment.training.evaluation.every else None
  return train_loop(experiment, resolve(config), workdir, profile, evaluate)


def _evaluate(experiment: Experiment, params: Any) -> Evaluation:
  """Measures the suites of `config.evaluation`, and makes the movies of its prompts."""
  settings = experiment.training.evaluation
  model = Model(experiment, params, "the model in training")
  scores = {}
  for name in settings.suites:
    measured, _ = SUITES[name].measure(model, settings.clips, settings.seed)
    shown = SUITES[name].shown(measured)
    scores |= {f"{name}/{score}": float(value) for score, value, *_ in shown if np.ndim(value) == 0}
  movies = {}
  if settings.prompts:
    clips = model.sample(list(settings.prompts), [settings.seed] * len(settings.prompts))
    if "sight" in clips:
      rate = model.source.senses["sight"].rate
      for prompt, clip in zip(settings.prompts, clips["sight"], strict=True):
        movies[f"movies/{prompt}"] = gif(clip, rate), *clip.shape[1:3]
  return Evaluation(scores=scores, movies=movies)
