"""Adapters: they change nothing at first, are merged exactly, and cost gradients of their own size alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.models.adapters import ADAPTERS, TARGETS, DiffFit, Lora, insert, merge
from stale_jax.models.parameters import draw, shapes
from tests.models import small

SETTINGS = {"lora": Lora(rank=3, alpha=6.0, targets=TARGETS), "difffit": DiffFit()}
MODELS = {"joint": {}, "scanned": {"scan": True}, "forms": {"forms": "dense"}, "turns": {"turns": 2}}


def trained(settings, declared):
  """The tree of an adapter whose parameters all differ from their initial values."""
  tree = draw(settings.declare(declared), jax.random.key(0))
  leaves, structure = jax.tree.flatten(tree)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [x + 0.1 * jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
  return settings.scaled(jax.tree.unflatten(structure, moved))


def output(model, params):
  return jax.jit(model.apply)(params, *small.inputs())


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_an_adapter_changes_nothing_at_first_and_merged_weights_equal_it(kind, fields):
  model, settings = small.model(**fields), SETTINGS[kind]
  params = small.params(model)
  before = output(model, params)
  fresh = settings.scaled(draw(settings.declare(model.declared), jax.random.key(0)))
  small.close(output(model, insert(params, fresh)), before, 1e-6)
  assert jax.tree.all(jax.tree.map(np.array_equal, merge(params, [(fresh, 1.0)]), params))
  tree = trained(settings, model.declared)
  inserted, merged = insert(params, tree), merge(params, [(tree, 1.0)])
  assert small.differ(output(model, inserted), before, 1e-2)
  small.close(output(model, inserted), output(model, merged), 2e-4)
  assert jax.tree.structure(merged) == jax.tree.structure(params)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_parameter_of_an_adapter_changes_the_output(kind):
  model, settings = small.model(), SETTINGS[kind]
  params, tree = small.params(model), trained(settings, model.declared)
  clip, t, context = small.inputs()

  def loss(tree):
    out = small.apply(model, insert(params, tree), clip, t, context)
    return sum(jnp.sum(jnp.square(x)) for x in out.values())

  gradient = jax.jit(jax.grad(loss))(tree)
  for path, x in jax.tree_util.tree_leaves_with_path(gradient):
    # The caption's stream ends in the last block, but each array has all blocks.
    assert np.abs(x).max() > 0, path


def test_lora_is_the_formula():
  model = small.model()
  params, settings = small.params(model), SETTINGS["lora"]
  tree = draw(settings.declare(model.declared), jax.random.key(0))
  layer = tree["params"]["blocks"]["sight_qkv"]["lora"]
  layer["b"] = jnp.asarray(np.random.default_rng(0).standard_normal(layer["b"].shape), jnp.float32)
  a, b = (np.asarray(layer[name], np.float64) for name in ("a", "b"))
  assert a.shape == (2, 32, 3) and b.shape == (2, 3, 96)
  assert np.abs(a).max() <= 32**-0.5  # As PEFT draws it.
  kernel = np.asarray(params["params"]["blocks"]["sight_qkv"]["dense"]["kernel"], np.float64)
  merged = merge(params, [(settings.scaled(tree), 0.5)])
  want = kernel + 0.5 * (6.0 / 3) * a @ b
  np.testing.assert_allclose(merged["params"]["blocks"]["sight_qkv"]["dense"]["kernel"], want, atol=1e-5)


def test_difffit_trains_vectors_the_caption_embedding_and_gamma():
  declared = small.model(forms="dense").declared
  found = {jax.tree_util.keystr(path): p for path, p in _leaves(DiffFit().declare(declared))}
  network = {jax.tree_util.keystr(path): p for path, p in _leaves(declared)}
  gammas = {name for name in found if name.endswith("['gamma']")}
  assert {name.split("'")[5] for name in gammas} == {
    f"{stream}_{part}" for stream in ("text", "sight", "touch") for part in ("out", "down")
  }
  vectors = {name for name, p in network.items() if not p.is_matrix}
  assert found.keys() - gammas == vectors | {"['params']['text']['bytes']['embedding']"}
  assert not any("kernel" in name for name in found)


def _leaves(tree):
  return jax.tree_util.tree_leaves_with_path(tree)


def test_several_adapters_have_weights_and_no_order():
  model = small.model()
  params = small.params(model)
  trees = [trained(settings, model.declared) for settings in SETTINGS.values()]
  weighted = [(trees[0], 0.3), (trees[1], 0.7), (trees[1], -0.2)]
  a, b = merge(params, weighted), merge(params, weighted[::-1])
  jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), a, b)
  nothing = merge(params, [(tree, 0.0) for tree in trees])
  jax.tree.map(np.testing.assert_array_equal, nothing, params)
  # Applied one after the other, gamma would scale only what came before it.
  late = merge(merge(params, weighted[1:]), weighted[:1])
  kernel = lambda p: p["params"]["blocks"]["sight_down"]["dense"]["kernel"]  # noqa: E731
  assert np.abs(kernel(late) - kernel(a)).max() > 1e-4


@pytest.mark.parametrize("kind", ADAPTERS)
def test_no_gradient_of_a_frozen_kernel_is_computed(kind):
  # Masking the updates of an optimizer, or differentiating W + A B, costs three forward passes.
  model, settings = small.model(width=128, text_width=64, side_width=64), {**SETTINGS, "lora": Lora(rank=1)}
  params = shapes(model.declared)
  tree = shapes(settings[kind].declare(model.declared))
  clip, t, context = small.inputs()

  def loss(tree, params, join):
    out = small.apply(model, join(params, settings[kind].scaled(tree)), clip, t, context)
    return sum(jnp.sum(jnp.square(x)) for x in out.values())

  def cost(join):
    # Of the compiled program: the jaxpr still has operations whose results nobody uses.
    step = jax.jit(jax.grad(functools.partial(loss, join=join)))
    return step.lower(tree, params).compile().cost_analysis()["flops"]

  forward = (
    jax.jit(functools.partial(loss, join=insert)).lower(tree, params).compile().cost_analysis()["flops"]
  )
  ours = cost(insert) / forward
  merged = cost(lambda params, tree: merge(params, [(tree, 1.0)])) / forward
  assert ours < 2.45 and ours < merged - 0.2, (ours, merged)


def test_targets_are_checked():
  for targets in ((), ("sideways",)):
    with pytest.raises(UserError, match="targets"):
      Lora(targets=targets)
