"""Frames one by one: which frames are given, when they are, what counts, and what is copied."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Batch, Context
from stale_jax.config import build
from stale_jax.data import Digits, collate
from stale_jax.errors import UserError
from stale_jax.models import Transformer
from stale_jax.objectives import Artv, Copy, Prediction, copying, masked
from stale_jax.objectives.artv import given_frames
from stale_jax.processes import EDM, VP, GaussianFlow, UniformFlow, anchored
from stale_jax.testing.models import moved
from stale_jax.training.initial import init_params
from tests import micro

SIZE, FRAMES = 400, 6
SENSES = tuple(Digits(canvas=12, frames=4, patch=1).senses[name] for name in ("sight", "touch"))
SIZES = {"width": 16, "side_width": 8, "text_width": 16, "condition_width": 16, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def batch():
  """Of which each frame is its number."""
  frame = jnp.broadcast_to(jnp.arange(FRAMES, dtype=jnp.float32)[None, :, None], (SIZE, FRAMES, 4))
  clip = {"sight": frame[..., None, None].repeat(3, -1), "touch": frame}
  valid = {"touch": jnp.ones((SIZE, FRAMES), bool).at[0].set(False)}
  context = Context(text=jnp.ones((SIZE, 8), jnp.int32), valid=valid)
  return Batch(clip=clip, context=context, index=jnp.arange(SIZE))


def test_each_frame_is_made_after_the_first_and_the_two_before_it(batch):
  (given, when), shown, judged = Artv(noise=0.3, drop=0.2).condition(batch, jax.random.key(0))
  np.testing.assert_array_equal(given, np.broadcast_to([True, True, True, False], (SIZE, 4)))
  # The anchor is clean, both references are at a time of the example's own.
  assert not when[:, 0].any() and (when[:, 1] == when[:, 2]).all()
  assert 0.28 < when.max() <= 0.3 and abs(when[:, 1].mean() - 0.15) < 0.02
  seen, real = np.asarray(shown.clip["touch"][..., 0]), np.asarray(shown.context.valid["sight"])
  new = seen[:, 3]
  assert set(new) == set(range(FRAMES)) and real[:, 3].all()
  for frame in range(FRAMES):
    rows = new == frame
    for slot, before in ((1, frame - 2), (2, frame - 1)):
      assert (real[rows, slot] == (before >= 0)).all()
      assert before < 0 or (seen[rows, slot] == before).all()
  assert (seen[real[:, 0], 0] == 0).all() and not real[new == 0, 0].any()
  dropped = ~real[new > 0, 0]
  assert abs(dropped.mean() - 0.2) < 4 * 0.4 / np.sqrt(len(dropped))
  # The new frame alone is judged; what was not real is not made so.
  np.testing.assert_array_equal(judged.context.valid["sight"], np.broadcast_to(np.arange(4) == 3, (SIZE, 4)))
  assert not shown.context.valid["touch"][0].any() and not judged.context.valid["touch"][0].any()
  np.testing.assert_array_equal(shown.clip["sight"][..., 0, 0, 0], shown.clip["touch"][..., 0])


def test_a_rollout_needs_no_more_than_the_first_and_the_last_two():
  for frame in range(9):
    order, there = given_frames(jnp.asarray(frame))
    kept = list(range(frame)) if frame < 3 else [0, frame - 2, frame - 1]
    local, same = given_frames(jnp.asarray(len(kept)))
    np.testing.assert_array_equal(there, same)
    assert [kept[i] for i in local[there]] == list(order[there])


@pytest.mark.parametrize("process", [UniformFlow(), GaussianFlow(), VP(), EDM()])
def test_mixing_outputs_is_mixing_residuals(process):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    x_t, output, anchor = (jnp.asarray(rng.uniform(-1, 1, (3, 2, 5))) for _ in range(3))
    share = jnp.asarray(rng.uniform(0, 1, (3, 2, 5)))
    alpha, sigma = (c[..., None] for c in process.coefficients(jnp.asarray(rng.uniform(0.1, 0.95, (3, 2)))))
    own, virtual, mixed = (
      (x_t - alpha * x) / sigma for x in (output, anchor, anchored(output, anchor, share))
    )
    np.testing.assert_allclose(mixed, share * own + (1 - share) * virtual, atol=1e-12)


@pytest.fixture(scope="module")
def networks():
  """With and without a mask; the same parameters, away from zero; a clip to ask them about."""
  rng = np.random.default_rng(0)
  clip = {s.name: jnp.asarray(rng.uniform(-1, 1, (2, 4, *s.shape)), jnp.float32) for s in SENSES}
  context = Context(text=jnp.asarray(text.tokenize(["a red two", "a blue six"], 24)))
  given = clip, jnp.asarray(rng.uniform(0, 1, (2, 4)), jnp.float32), context
  with_mask, without = (Transformer(senses=SENSES, text_length=24, mask=on, **SIZES) for on in (True, False))
  shapes = jax.eval_shape(with_mask.init, jax.random.key(0), *given)
  params = jax.tree.map(lambda x: np.float32(0.3 * rng.standard_normal(x.shape)), shapes)
  return with_mask, without, params, given


def test_the_head_is_there_only_when_it_is_asked_for(networks):
  with_mask, without, params, given = networks
  plain = jax.eval_shape(without.init, jax.random.key(0), *given)["params"]
  assert set(params) == {"params"} and set(params["params"]) - set(plain) == {"sight_mask", "touch_mask"}
  for name in plain:
    assert jax.tree.map(np.shape, params["params"][name]) == jax.tree.map(np.shape, plain[name])
  out, same = with_mask.apply(params, *given), without.apply(params, *given)
  for name in out:
    np.testing.assert_array_equal(out[name], same[name])


def test_the_last_frame_copies_the_one_before_as_far_as_the_mask_says(networks):
  model, without, params, (clip, t, context) = networks
  own, sown = model.apply(params, clip, t, context, mutable=["mask"])
  given = {name: np.cos(x[:, :3]) for name, x in clip.items()}
  copied = copying(model, params, given)
  mixed = copied(clip, t, context)
  for name, (share,) in sown["mask"].items():
    assert 0 <= share.min() < 0.3 and 0.7 < share.max() <= 1
    np.testing.assert_array_equal(mixed[name][:, :3], own[name][:, :3])
    m = np.float64(share[:, 3:])
    np.testing.assert_allclose(
      mixed[name][:, 3:], m * own[name][:, 3:] + (1 - m) * given[name][:, 2:], atol=1e-5
    )
  # What is not there is not copied; guidance, which asks twice, is told of the same frame twice.
  gone = context.replace(valid={name: jnp.ones((2, 4), bool).at[0, 2].set(False) for name in clip})
  plain, some = model.apply(params, clip, t, gone), copied(clip, t, gone)
  np.testing.assert_array_equal(some["sight"][0], plain["sight"][0])
  assert np.abs(some["sight"][1] - plain["sight"][1]).max() > 0.01
  twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), (clip, t, context))
  np.testing.assert_allclose(copied(*twice)["sight"][2:], mixed["sight"], atol=1e-5)
  np.testing.assert_array_equal(copying(without, params, given)(clip, t, context)["sight"], own["sight"])


def test_training_throws_the_mask_and_a_movie_never(networks):
  model, _, params, given = networks
  still, again = (masked(model, params, *given, given[0])[1] for _ in range(2))
  one, other = (
    masked(model, params, *given, given[0], {"perturb": jax.random.key(seed)})[1]["sight"]
    for seed in range(2)
  )
  np.testing.assert_array_equal(still["sight"], again["sight"])
  assert (one != other).mean() > 0.1 and (one != still["sight"]).mean() > 0.1
  shut = [np.mean((x == 0) | (x == 1)) for x in (one, still["sight"])]
  assert shut[0] > shut[1]


def test_what_is_the_network_s_own_costs_its_share(networks):
  model, _, params, (clip, t, context) = networks
  gone = context.replace(valid={name: jnp.ones((2, 4), bool).at[0, 2].set(False) for name in clip})
  output, mask = masked(model, params, clip, t, gone, clip)
  batch = Batch(clip=clip, context=gone, index=jnp.arange(2))
  said = Copy(weight=0.5)(Prediction(output=output, corruption={}, t=t, mask=mask), batch)
  means = {name: np.float64(x).mean() for name, x in mask.items()}
  assert all((x[0] == 1).all() and x.shape == (2, 1, *clip[name].shape[2:]) for name, x in mask.items())
  assert said["mask/sight"] == pytest.approx(means["sight"]) and means["sight"] < 1
  assert said["loss"] == pytest.approx(0.5 * sum(means.values()))


def test_the_cost_of_the_mask_is_in_the_loss_and_its_weight_counts():
  found, given = {}, None
  for weight in (0.0, 0.5):
    e = build({**micro.config(source__patch=1), "artv": {"copy": weight}})
    if given is None:
      params = moved(init_params(e, jax.random.key(0)))
      batch = collate([e.data.source[i] for i in range(4)], e.data.senses, e.network.text_length)
      given = params, batch, jax.random.key(1)
    found[weight] = jax.jit(jax.value_and_grad(e.training.step.loss(e), has_aux=True))(*given)
  ((none, metrics), free), ((some, same), dear) = found[0.0], found[0.5]
  cost = sum(metrics[name] for name in metrics if name.startswith("mask/"))
  assert metrics["mask/sight"] == same["mask/sight"] and 0.1 < cost
  np.testing.assert_allclose(some - none, 0.5 * cost, rtol=1e-4)
  head, other = (grads["params"]["sight_mask"]["dense"]["bias"] for grads in (free, dear))
  assert (other - head).sum() > 1e-3


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"noise": 2.0}, "artv.noise=2.0 must lie from 0 to 1"),
    ({"copy": -1.0}, "artv.copy=-1.0 must lie from 0"),
    ({"drp": 0.1}, "did you mean 'drop'"),
    ({"source__patch": 2}, "set source.patch=1"),
    ({"first__share": 0.5}, "leave first.share"),
    ({"process__name": "reflected"}, "artv.mask needs a process that mixes"),
  ],
)
def test_misuse_is_named(changes, words):
  sections = {key: value for key, value in changes.items() if "__" in key}
  config = micro.config(**{"source__patch": 1, **sections})
  config["artv"] = {key: value for key, value in changes.items() if "__" not in key}
  with pytest.raises(UserError, match=words):
    build(config)
