"""Training on clips of several sizes and rates, and images among them: one program each, exactly resumed."""

import shutil

import chex
import jax
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.pipeline import load
from stale_jax.planning.plan import built
from stale_jax.run import train
from stale_jax.training.feed import Feed
from stale_jax.training.program import training_program
from tests import micro
from tests.data.clips import encode

BUCKETS = ((2, 8, 8), (4, 8, 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("videos")
  for name, width in (("square", 32), ("wide", 64)):
    encode(path / f"{name}.mp4", frames=12, height=32, width=width)
  return path


def config(folder, steps=6, **fields):
  source = {"name": "folder", "path": str(folder), "held_out": 0.0, "rate": 5.0, "patch": (2, 8, 8)}
  config = micro.config(senses=("sight",), objective__weights={}, ema__snapshots=0, first__share=0.5)
  config["source"] = {**source, "hearing": False, "buckets": BUCKETS, "images": 0.2, **fields}
  config["source"]["rates"] = (5.0, 10.0)
  config["model"] = {**config["model"], "micro": ("fps", "motion")}
  config["training"] = {**config["training"], "steps": steps, "batch": 4, "checkpoint_every": 3}
  return config


@pytest.mark.system
def test_as_many_programs_as_buckets_and_bytes_train_as_their_values_do(folder):
  experiment = build(config(folder))
  program = training_program(experiment)
  feed, state, shapes = Feed(experiment, program), program.fresh(), set()
  for _ in range(16):
    feed.advance()
    sight = feed.ahead.clip["sight"]
    assert sight.dtype == np.uint8
    shapes.add(sight.shape[1:4])
    # Of an image neither is known.
    for known in (feed.ahead.context.fps, feed.ahead.context.motion):
      assert np.isfinite(known).all() == (int(feed.ahead.index[0]) < 2 * experiment.data.source.size)
    state, scalars = program.step(state, feed.ahead)
    assert np.isfinite(scalars["loss"]) and scalars["loss"] > 0
  # Both images are one patch of frames, as the shorter clips are.
  assert shapes == {(2, 8, 8), (4, 8, 16), (2, 8, 16)}
  assert program.step._cache_size() <= 3  # Fewer if many other programs have been compiled meanwhile.

  def stepped(batch):
    return jax.device_get(program.step(program.fresh(), batch))

  (one, a), values = stepped(feed.ahead), np.asarray(sight) / np.float32(127.5) - np.float32(1)
  two, b = stepped(feed.ahead.replace(clip={"sight": jax.numpy.asarray(values)}))
  chex.assert_trees_all_equal((one.params, a), (two.params, b))


@pytest.mark.system
def test_a_run_of_several_sizes_goes_on_exactly_where_it_was(folder, tmp_path):
  train(config(folder), tmp_path / "whole")
  # As it was when it had made three of its six steps.
  shutil.copytree(tmp_path / "whole", tmp_path / "parts")
  shutil.rmtree(tmp_path / "parts" / "checkpoints" / "6")
  train(config(folder), tmp_path / "parts")
  whole, parts = (newest_state(tmp_path / name) for name in ("whole", "parts"))
  chex.assert_trees_all_equal(whole["params"], parts["params"])
  # What is made is of the first.
  made = load(tmp_path / "whole").generate("colours", steps=1, fps=10.0, motion=0.5)
  assert made.clip["sight"].shape == (2, 8, 8, 3) and made.senses[0].rate == 10


def test_the_greatest_is_planned_and_an_autoencoder_has_one_size(folder):
  experiment = built(config(folder))
  assert experiment.data.source.frames == 4 and experiment.data.senses[0].shape == (8, 16, 3)
  assert training_program(experiment).batch.clip["sight"].shape == (4, 4, 8, 16, 3)
  coder = {"senses": ("sight",), "model": {"name": "autoencoder"}}
  with pytest.raises(UserError, match="one size"):
    build({**coder, "source": config(folder)["source"]})
