"""Every suite on a single clip, and models whose weights or clips are not finite: a number or one line."""

import json
import math
import re

import jax
import numpy as np
import pytest

from stale_jax.checkpoints.weights import save_weights
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.pipeline import load
from stale_jax.testing.models import drawn
from tests import micro

pytestmark = pytest.mark.system

DIGITS = {"senses": ("sight", "touch"), "source__canvas": 16, "source__frames": 8, "source__patch": 4}
OTHERS = {
  "cartoons": {"name": "cartoons", "height": 16, "width": 16, "frames": 8, "patch": 4},
  "dynamics": {"name": "lorenz", "frames": 8, "patch": 4},
  "reconstruction": {"name": "digits", "canvas": 16, "frames": 5, "patch": 1},
}


def model_for(suite: str):
  config = micro.config(**DIGITS)
  if suite == "dynamics":
    config = {**config, "source": OTHERS[suite], "senses": ("state",), "objective": {}}
  if suite in ("cartoons", "composition"):
    config = {**config, "source": OTHERS["cartoons"]}
  if suite == "labels":
    config = {**config, "cringe": {"weight": 0.1}}
  if suite == "reconstruction":
    coder = {"name": "autoencoder", "width": 8, "channels": 3}
    config = {"senses": ("sight",), "source": OTHERS[suite], "model": coder}
  return drawn(config)


@pytest.mark.parametrize("suite", SUITES)
def test_one_clip_is_a_score_or_one_line(suite):
  model = model_for(suite)
  try:
    scores, _ = SUITES[suite].measure(model, clips=1)
  except UserError as error:
    assert re.match(r"clips=1: at least \d are needed", str(error))
    return
  assert suite == "contamination" and math.isfinite(scores["leaked"])
  assert "NaN" not in json.dumps(scores)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
  config = micro.config(**DIGITS)
  params = jax.tree.map(np.array, drawn(config).params)
  save_weights(tmp_path / "good.safetensors", params, config)
  jax.tree.leaves(params)[-1].flat[-1] = value
  save_weights(tmp_path / "bad.safetensors", params, config)
  load(tmp_path / "good.safetensors")
  with pytest.raises(UserError, match=r"the weights of .*bad.safetensors hold NaN or infinite values"):
    load(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
  "suite", ["captions", "dynamics", pytest.param("liveliness", marks=pytest.mark.slow)]
)
def test_clips_that_are_not_finite_are_refused(suite):
  model = model_for(suite)
  model.params = jax.tree.map(lambda x: x * np.nan, model.params)
  with pytest.raises(UserError, match=r"the model generates NaN or infinite values \((sight|state)"):
    SUITES[suite].measure(model, clips=2, **({"seconds": 1.5} if suite == "liveliness" else {}))
