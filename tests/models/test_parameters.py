"""Declared parameters: initial values, stacking, and checkpoints from before stacking."""

import dataclasses
import json

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from stale_jax.checkpoints.convert import converted, is_unstacked
from stale_jax.checkpoints.named import CAUSAL, DIGITS
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.config import build
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.models.parameters import Parameter, by_path, shapes
from stale_jax.pipeline import load
from stale_jax.training.optimizer import AdamW
from stale_jax.training.program import training_program
from stale_jax.training.state import initial_state
from tests import micro
from tests.models import small

FIVE = tuple(Digits(canvas=12, frames=8, patch=2).senses.values())
KINDS = {
  "plain": {},
  "five senses": {"senses": FIVE, "depth": 3},
  "two forms": {"forms": "dense"},
  "a cycle": {"turns": 2, "senses": FIVE},
  "every head": {"labels": 3, "emoji": "😂", "mask": True, "micro": ("fps",)},
}


class Tree(nn.Module):
  """Linen modules of the names of `tree`, with its parameters."""

  tree: dict

  @nn.compact
  def __call__(self):
    for name, part in sorted(self.tree.items(), reverse=True):  # The kernel is drawn before the bias.
      if isinstance(part, Parameter):
        self.param(name, part.init, part.shape)
      else:
        Tree(part, name=name)()


def model(kind):
  return small.model().clone(**KINDS[kind])


def single(declared):
  """path -> the declaration of one parameter."""
  return {
    tuple(path.split("/")): dataclasses.replace(p, stack=(), paths=(path,))
    for p in jax.tree.leaves(declared)
    for path in p.paths
  }


def unstacked(declared, params):
  """The parameters in the tree that was used before stacking."""
  flat = {tuple(path.split("/")): np.asarray(x) for path, x in by_path(declared, params).items()}
  return {"params": traverse_util.unflatten_dict(flat)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_draw_is_that_of_linen_modules_of_its_path(kind):
  network, key = model(kind), jax.random.key(3)
  got = unstacked(network.declared, jax.jit(network.init)(key))
  tree = traverse_util.unflatten_dict(single(network.declared))
  want = jax.jit(Tree(tree).init)(key)
  assert jax.tree.structure(got) == jax.tree.structure(want)
  chex.assert_trees_all_equal(got, want)
  # Negative control: another key gives other values.
  other = unstacked(network.declared, network.init(jax.random.key(4)))
  kernel = got["params"]["block_1"]["sight_up"]["dense"]["kernel"]
  assert np.abs(kernel - other["params"]["block_1"]["sight_up"]["dense"]["kernel"]).min() > 0
  assert np.abs(kernel - got["params"]["block_0"]["sight_up"]["dense"]["kernel"]).min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_the_former_layout_are_stacked_when_they_are_read(kind, tmp_path):
  network = model(kind)
  params = small.params(network)
  old, senses = unstacked(network.declared, params), [sense.name for sense in network.senses]
  assert is_unstacked(old) and not is_unstacked(params)
  chex.assert_trees_all_equal(converted(old, senses), params)
  assert converted(params, senses) is params
  save_weights(tmp_path / "old.safetensors", old, {"senses": senses}, np.float32)
  chex.assert_trees_all_equal(load_weights(tmp_path / "old.safetensors")[0], params)


@pytest.mark.parametrize("path", [DIGITS, CAUSAL])
def test_the_shipped_weights_have_the_declared_shapes(path):
  params, config = load_weights(path)
  declared = build(config).network.declared
  assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes(declared))
  chex.assert_trees_all_equal(params, load(path).params)


def test_few_arrays_are_kept():
  state = training_program(build(load_weights(DIGITS)[1])).state
  assert len(jax.tree.leaves(state)) <= 600


def test_a_checkpoint_of_the_former_layout_is_not_resumed_and_its_average_is_read(tmp_path):
  config = micro.config()
  experiment = build(config)
  network, like = experiment.network, training_program(experiment).state
  params = network.init(jax.random.key(0))
  old = jax.tree.map(jnp.asarray, unstacked(network.declared, params))
  checkpoints = Checkpointer(tmp_path)
  checkpoints.save(4, initial_state(old, AdamW().build(4), jax.random.key(0)), None)
  checkpoints.close()
  checkpoints = Checkpointer(tmp_path)
  with pytest.raises(UserError, match=f"older version.*training.init_from={tmp_path}"):
    checkpoints.restore(like)
  checkpoints.close()
  (tmp_path / "config.json").write_text(json.dumps(config))
  chex.assert_trees_all_equal(load(tmp_path).params, params)
