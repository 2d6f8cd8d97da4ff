"""Kinds of training: any is laid out and run alike, gets what it needs and is traced without reading data."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import autoencoder_digits
from stale_jax.checkpoints.weights import save_weights
from stale_jax.config import build
from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.training.ema import Ema
from stale_jax.training.feed import Feed
from stale_jax.training.loop import train_loop
from stale_jax.training.program import batch_shapes, training_program
from stale_jax.training.state import initial_state, update
from stale_jax.training.steps.train_step import CLIP, LABELS, MICRO, needed
from tests import micro

OPTIMIZER = optax.sgd(0.1)
CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True}


def banded() -> dict:
  return {**micro.config(), "dog": {"weight": 0.3}}


def judged() -> dict:
  return {**micro.config(), "cringe": {}}


def coder() -> dict:
  config = autoencoder_digits.get_config().to_dict()
  config["source"] |= {"canvas": 16, "frames": 5}
  config["model"] |= {"width": 8}
  return config


def student() -> dict:
  config = micro.config(**CAUSAL, sampling__steps=2, training__init_from="teacher")
  config["sampling"] |= {"solver": "consistency", "guidance": 1.0}
  return {**config, "self_forcing": {"every": 2}}


def rewarded() -> dict:
  return {**micro.config(**CAUSAL, sampling__steps=2), "grpo": {"group": 4}}


NEEDS = {
  banded: {CLIP, MICRO},
  judged: {CLIP, MICRO, LABELS},
  coder: {CLIP},
  student: set(),
  rewarded: set(),
}
EVERY = pytest.mark.parametrize("config", NEEDS, ids=lambda f: f.__name__)


@EVERY
def test_nothing_is_read_while_a_step_is_traced(config, monkeypatch):
  experiment = build(config())
  step = experiment.training.step.build(experiment)
  mesh = experiment.training.mesh.build(jax.devices()[:1])
  batch = needed(batch_shapes(experiment, mesh), step.needs)

  def read(self, index):
    raise AssertionError("data are read")

  for name in ("__getitem__", "stored"):
    monkeypatch.setattr(Digits, name, read)
  state = jax.eval_shape(step.init, jax.random.key(0))
  new, metrics = jax.eval_shape(step.step, state, batch)
  assert jax.tree.map(lambda x: x.shape, new) == jax.tree.map(lambda x: x.shape, state)
  assert metrics["loss"].shape == ()


@EVERY
def test_a_batch_has_what_the_step_needs_and_no_more(config, monkeypatch):
  experiment, needs = build(config()), NEEDS[config]
  program = training_program(experiment)
  assert program.needs == needs and bool(program.batch.clip) == (CLIP in needs)
  assert bool(program.batch.labels) == (LABELS in needs)
  if CLIP not in needs:
    monkeypatch.setattr(Digits, "stored", lambda self, index: pytest.fail("a clip is read"))
    monkeypatch.setattr(Digits, "caption", lambda self, index: f"caption {index}")
  feed = Feed(experiment, program)
  feed.advance()
  assert jax.tree.map(lambda x: (x.shape, x.dtype), feed.ahead) == jax.tree.map(
    lambda x: (x.shape, x.dtype), program.batch
  )
  assert feed.ahead.context.text.any()


@dataclasses.dataclass(frozen=True)
class Count:
  """A kind of training that the package does not have: its parameter follows the examples' indices."""

  needs: frozenset = frozenset()

  def check(self, experiment):
    pass

  def build(self, experiment):
    return dataclasses.replace(self)

  def init(self, key):
    return initial_state({"w": jnp.zeros(3)}, OPTIMIZER, key).replace(extra={"seen": jnp.zeros(())})

  def begin_from(self, state, params):
    return state.replace(params=params)

  def step(self, state, batch):
    grads = {"w": jnp.full(3, batch.index.mean())}
    new = update(state, grads, grads["w"][0], OPTIMIZER, Ema())
    return new.replace(extra={"seen": state.extra["seen"] + 1}), {"loss": grads["w"][0]}


@pytest.mark.system
def test_a_kind_that_the_package_does_not_know_is_trained_saved_and_resumed(tmp_path):
  def run(steps, folder, **training):
    config = micro.config(training__steps=steps, training__checkpoint_every=2, ema__snapshots=0, **training)
    experiment = build(config)
    training = dataclasses.replace(experiment.training, step=Count())
    return train_loop(dataclasses.replace(experiment, training=training), config, tmp_path / folder)

  whole = run(4, "whole")
  run(2, "parts")
  parts = run(4, "parts")
  assert int(whole.extra["seen"]) == 4 and np.abs(whole.params["w"]).min() > 0
  chex.assert_trees_all_equal(whole, parts)
  save_weights(tmp_path / "w.safetensors", {"w": np.full(3, 7.0, np.float32)}, {})
  begun = run(1, "begun", training__init_from=str(tmp_path / "w.safetensors"))
  np.testing.assert_allclose(begun.params["w"] - run(1, "drawn").params["w"], 7)


def test_two_kinds_at_once_are_refused():
  with pytest.raises(UserError, match="different kinds of training"):
    build({**student(), "grpo": {"group": 4}})
