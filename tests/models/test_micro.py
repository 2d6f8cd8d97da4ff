"""Micro-conditions: they have an effect where known, and are absent unless requested."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.config import build
from stale_jax.data import Digits, build_senses, collate, loader
from stale_jax.data.curate.motion import clip_speed
from stale_jax.data.micro import measure, measure_motion
from stale_jax.errors import UserError
from stale_jax.models import build_model
from stale_jax.objectives import forget
from stale_jax.pipeline import Model
from stale_jax.training.initial import init_params
from tests import micro
from tests.models import small

HEARS = small.model(micro=("fps", "motion"))
UNKNOWN = jnp.full(small.BATCH, jnp.nan)


@pytest.fixture(scope="module")
def ask():
  clip, t, context = small.inputs()
  params, run = small.params(HEARS), jax.jit(HEARS.apply)
  return lambda **known: run(params, clip, t, context.replace(**known))


def test_they_are_heard_each_and_only_where_they_are_known(ask):
  nothing = ask()
  small.close(ask(fps=UNKNOWN, motion=UNKNOWN), nothing)
  for name in ("fps", "motion"):
    one = ask(**{name: jnp.array([0.5, jnp.nan])})
    other = ask(**{name: jnp.array([1.5, jnp.nan])})
    for sense in nothing:
      assert np.abs(one[sense][0] - nothing[sense][0]).max() > 1e-3
      assert np.abs(one[sense][0] - other[sense][0]).max() > 1e-3
      np.testing.assert_allclose(one[sense][1], nothing[sense][1], atol=1e-5)


def test_unknown_they_leave_no_trace_in_what_is_learnt():
  clip, t, context = small.inputs()

  def loss(params, motion):
    out = HEARS.apply(params, clip, t, context.replace(motion=motion))
    return sum(jnp.sum(jnp.square(x)) for x in out.values())

  grads = jax.jit(jax.grad(loss))(small.params(HEARS), UNKNOWN)["params"]
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
  assert not any(np.any(x) for x in jax.tree.leaves(grads["motion_micro"]))


def test_without_them_nothing_of_them_is_there():
  shapes = [jax.eval_shape(m.init, jax.random.key(0), *small.inputs()) for m in (small.model(), HEARS)]
  plain, hears = (set(s["params"]) for s in shapes)
  assert hears - plain == {"fps_micro", "motion_micro"} and not plain - hears
  with pytest.raises(UserError, match="did you mean 'motion'"):
    build_model({"micro": ("moton",)}, small.SENSES)


def test_motion_is_curations_and_of_an_image_nothing_is_known():
  source = Digits(canvas=16, frames=4)
  slow, quick = ([], [])
  for index in range(24):
    example = source[index]
    grey = (example["clip"]["sight"] + 1) * 127.5 @ np.array([0.299, 0.587, 0.114])
    want = clip_speed(np.rint(grey).astype(np.uint8), 1 / 8)
    found = measure("motion", example, 8.0)
    assert found == pytest.approx(want, rel=0.02)
    assert measure("motion", {**example, "fps": 16.0}, 8.0) == pytest.approx(2 * found)
    (quick if example["labels"]["speed"] else slow).append(found)
  assert np.mean(quick) == pytest.approx(2 * np.mean(slow), rel=0.1) and min(quick) > max(slow)
  bytes_ = {"sight": np.rint((example["clip"]["sight"] + 1) * 127.5).astype(np.uint8)}
  assert measure_motion(bytes_, 8.0) == pytest.approx(found, rel=1e-6)
  image = {"clip": {"sight": example["clip"]["sight"][:1]}}
  assert np.isnan(measure("motion", image, 8.0)) and np.isnan(measure("fps", image, 8.0))
  assert measure("fps", example, 8.0) == 8 and measure("fps", {**example, "fps": 4.0}, 8.0) == 4
  # Batches contain them if requested.
  senses = build_senses(("sight",), source)
  batch = next(iter(loader(source, senses, batch=4, text_length=8, seed=0, micro=("fps", "motion"))))
  want = [measure("motion", source[int(i)], 8.0) for i in batch.index]
  np.testing.assert_allclose(batch.context.motion, want, rtol=1e-6)
  assert batch.context.fps.tolist() == [8.0] * 4
  plain = collate([example], senses, 8).context
  assert plain.fps is None and plain.motion is None


def test_as_many_are_forgotten_as_was_said_each_by_itself():
  context = small.inputs()[2].replace(fps=jnp.ones(4000), motion=jnp.ones(4000))
  gone = forget(context, ("fps", "motion"), 0.1, jax.random.key(0))
  fps, motion = np.isnan(gone.fps), np.isnan(gone.motion)
  assert abs(fps.mean() - 0.1) < 0.02 and abs(motion.mean() - 0.1) < 0.02
  assert abs((fps & motion).mean() - 0.01) < 0.007
  assert forget(context, (), 0.1, jax.random.key(0)) is not None


def test_what_is_asked_for_is_made_and_refused_where_it_is_not_heard():
  config = micro.config(senses=("sight",), objective__weights={})
  experiment = build({**config, "model": {**config["model"], "micro": ("fps", "motion")}})
  params = jax.tree.map(lambda x: x + 0.02, init_params(experiment, jax.random.key(0)))
  model = Model(experiment, params, "fresh")
  one, two = (model.generate("a red one", motion=value, guidance=1.0) for value in (0.1, 2.0))
  assert np.abs(one.clip["sight"] - two.clip["sight"]).max() > 1e-3
  movie = model.generate("a red one", fps=16.0, seconds=0.5)
  assert movie.clip["sight"].shape[0] == 8 and movie.senses[0].rate == 16 and "fps 16" in movie.facts
  assert ", steps " in movie.facts and "norm_limit" not in movie.facts and "norm_limit" in movie.how
  many = model.sample(["a red one"] * 3, [0] * 3, micro={"motion": [0.1, 2.0, 0.1]}, guidance=1.0)["sight"]
  np.testing.assert_array_equal(many[0], many[2])
  np.testing.assert_allclose(many[:2], [one.clip["sight"], two.clip["sight"]], atol=1e-5)
  for fields, words in (
    ({"fps": 0.0}, "fps=0"),
    ({"motion": -1.0}, "motion=-1"),
    ({"motion": np.nan}, "nan"),
  ):
    with pytest.raises(UserError, match=words):
      model.generate("a red one", **fields)
  deaf = dataclasses.replace(experiment, network=experiment.network.clone(micro=()))
  with pytest.raises(UserError, match="is not conditioned on motion"):
    Model(deaf, params, "fresh").generate("a red one", motion=1.0)
