"""Evaluation within training: what is written, and that training does not depend on it."""

import io
import json
import shutil

import av
import jax
import numpy as np
import pytest

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.media.video import gif
from stale_jax.pipeline import load
from stale_jax.run import train
from tests import micro

PROMPTS = ("a red two", "a blue six moves left")


def records(folder):
  return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.system
def test_scores_and_movies_are_written_and_training_is_the_same(tmp_path, capfd):
  plain = train(micro.config(training__steps=8), tmp_path / "plain")
  options = {"evaluation__every": 4, "evaluation__clips": 6, "evaluation__prompts": PROMPTS}
  evaluated = train(micro.config(training__steps=8, **options), tmp_path / "evaluated")
  jax.tree.map(np.testing.assert_array_equal, plain, evaluated)

  written = [record for record in records(tmp_path / "evaluated") if "denoising/loss" in record]
  assert [record["step"] for record in written] == [4, 8]
  assert "evaluation after step 4: denoising/loss" in capfd.readouterr().out
  # The last one is that of the weights that the run ends with.
  from stale_jax.evaluation import SUITES

  scores, _ = SUITES["denoising"].measure(load(tmp_path / "evaluated"), 6, 0)
  assert written[-1]["denoising/loss"] == pytest.approx(scores["loss"], rel=1e-5)

  board = b"".join(path.read_bytes() for path in (tmp_path / "evaluated" / "tensorboard").iterdir())
  assert board.count(b"GIF89a") == 4 and all(f"movies/{prompt}".encode() in board for prompt in PROMPTS)


@pytest.mark.system
def test_a_run_that_was_interrupted_evaluates_the_same(tmp_path):
  options = {"evaluation__every": 4, "evaluation__clips": 4, "training__checkpoint_every": 4}
  config = micro.config(training__steps=8, **options)
  train(config, tmp_path)
  before = [record for record in records(tmp_path) if "denoising/loss" in record]
  shutil.rmtree(tmp_path / "checkpoints" / "8")  # As if it had been killed before it was saved.
  train(config, tmp_path)
  assert [record for record in records(tmp_path) if "denoising/loss" in record] == before and len(before) == 2


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"evaluation__suites": ("capitons",)}, "evaluation.suites"),
    ({"evaluation__suites": ("reconstruction",)}, "'reconstruction' cannot measure this network"),
    ({"evaluation__suites": ("contamination",)}, "compares two models: use experiments.evaluate"),
  ],
)
def test_suites_that_cannot_be_measured_are_refused(options, words):
  with pytest.raises(UserError) as error:
    build(micro.config(evaluation__every=4, **options))
  assert words in str(error.value)


def test_a_gif_shows_the_pictures():
  ramp = np.linspace(-1, 1, 6)[:, None, None, None] * np.ones((1, 16, 24, 3))
  with av.open(io.BytesIO(gif(ramp, 8.0))) as file:
    frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert float(file.streams.video[0].average_rate) == pytest.approx(8, rel=0.1)
  assert len(frames) == 6 and frames[0].shape == (16, 24, 3)
  means = [frame.mean() for frame in frames]
  np.testing.assert_allclose(means, np.linspace(0, 255, 6), atol=25)
