"""Rollouts in training against generation, their gradient against the definition, a resumed run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.checkpoints.reading import newest_state
from stale_jax.clip import Context
from stale_jax.compilation import compiled
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.objectives import dmd_loss, dmd_step
from stale_jax.pipeline import load
from stale_jax.processes import fold_keys
from stale_jax.run import train
from stale_jax.sampling.samplers.causal_programs import Causal
from stale_jax.testing.models import drawn
from stale_jax.text import tokenize
from stale_jax.training.steps.rollouts import exit_times, joined, roll, taken_again, window_start
from stale_jax.training.steps.self_forcing import student_programs
from tests import micro

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True}


def student(**overrides) -> dict:
  config = micro.config(**CAUSAL, sampling__steps=3, **{"training__init_from": "teacher", **overrides})
  config["sampling"] |= {"solver": "consistency", "guidance": 1.0}
  config["self_forcing"], config["rollout"] = {"every": 2, "frames": 8}, {"sinks": 1, "noise": 0.1}
  return config


@pytest.fixture(scope="module")
def model():
  return drawn(student())


def rolled(model, step: int, start: int | None = None):
  """(exits of a window, the cache after it, context, times)."""
  e = model.system
  keys = jax.vmap(jax.random.key)(jnp.arange(3, 5, dtype=jnp.uint32))
  context = Context(text=jnp.asarray(tokenize(PROMPTS, e.network.text_length)))
  times = model.settings(batch=2).times(1)
  noise = jnp.full(2, e.diffusion.rollout.noise)
  run = jax.jit(
    lambda step, start: roll(
      student_programs(e), model.params, times, step, context, noise, keys, start, e.data.source.frames
    )
  )
  return *run(jnp.int32(step), None if start is None else jnp.int32(start)), context, times


def made(model, chunks: int, step: int):
  """What generation makes of the same seeds, its steps ended at `step`; and the cache after it."""
  e = model.system
  programs = student_programs(e)
  keys = jax.vmap(jax.random.key)(jnp.arange(3, 5, dtype=jnp.uint32))
  context = Context(text=jnp.asarray(tokenize(PROMPTS, e.network.text_length)))
  times = exit_times(model.settings(batch=2).times(1), step)
  noise, guidance = jnp.full(2, e.diffusion.rollout.noise), (jnp.float32(1), jnp.array([0.0, 1.0]))
  cache, clips = programs.start(model.params, times, context, keys), []
  for number in range(chunks):
    clip, cache = compiled(Causal.advance)(
      programs, model.params, cache, times, context, noise, fold_keys(keys, number), *guidance, step + 1
    )
    clips.append(clip)
  return {name: np.concatenate([clip[name] for clip in clips], 1) for name in clips[0]}, cache


@pytest.mark.parametrize("step", [0, 2])
def test_what_is_trained_on_is_what_is_generated(model, step):
  """The window of a longer movie, and the cache after it: keys, values, and how many frames are in it."""
  exits, cache, _, _ = rolled(model, step, start=3)
  clip, same = made(model, 7, step)
  ours = joined(exits.clip)
  for name in clip:
    np.testing.assert_allclose(ours[name], clip[name][:, 3:], atol=1e-5)
  assert cache.frames.tolist() == same.frames.tolist() == [3] * len(cache.frames)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), cache, same)
  if step == 2:
    whole = list(model.rollout(PROMPTS, [3, 4], frames=7))
    np.testing.assert_allclose(
      ours["sight"], np.concatenate([c["sight"] for c in whole], 1)[:, 3:], atol=1e-5
    )


def test_the_gradient_is_that_of_the_exit_steps_alone(model):
  exits, _, context, times = rolled(model, 1)
  programs = student_programs(model.system)
  drawn = (
    jax.random.normal(jax.random.key(2), (2, 4, 12, 12, 3)),
    jax.random.normal(jax.random.key(3), (2, 4, 4)),
  )
  away = dict(zip(("sight", "touch"), drawn, strict=True))
  again = jax.jit(lambda params: taken_again(programs, params, exits, times[1], context))

  def loss(params):
    return dmd_loss(again(params), away, {"touch": 0.2})

  clip, vjp = jax.vjp(again, model.params)
  np.testing.assert_allclose(clip["sight"], joined(exits.clip)["sight"], atol=1e-5)
  weights = {"sight": 1.0, "touch": 0.2}
  (explicit,) = vjp({name: weights[name] * x / x.size for name, x in away.items()})
  by_trick = jax.grad(loss)(model.params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), by_trick, explicit)
  assert max(jnp.abs(x).max() for x in jax.tree.leaves(by_trick)) > 1e-4

  def of_exits(exits):
    return dmd_loss(taken_again(programs, model.params, exits, times[1], context), away, {})

  for x in jax.tree.leaves(jax.grad(of_exits, allow_int=True)(exits)):
    assert x.dtype == jax.dtypes.float0 or not np.abs(x).any()


def test_the_step_of_distribution_matching_goes_from_fake_to_real():
  x, real, fake = ({"sight": jnp.full((2, 4), value)} for value in (0.5, 0.1, 0.9))
  np.testing.assert_allclose(dmd_step(x, fake, real)["sight"], 0.8 / 0.4, rtol=1e-6)
  assert not dmd_step(x, real, real)["sight"].any()
  gradient = jax.grad(lambda x: dmd_loss(x, dmd_step(x, fake, real), {}))(x)["sight"]
  np.testing.assert_allclose(gradient, 0.8 / 0.4 / 8, rtol=1e-6)


def test_windows_begin_anywhere_alike():
  starts = np.asarray(
    jax.vmap(lambda key: window_start(key, 12, 8))(jax.random.split(jax.random.key(0), 5000))
  )
  counts = np.bincount(starts)
  assert len(counts) == 5 and np.sum(np.square(counts - 1000) / 1000) < 13.3  # p > .01


@pytest.mark.slow
@pytest.mark.system
def test_a_student_that_is_stopped_ends_with_the_same_bits(tmp_path):
  train(micro.config(**CAUSAL, training__steps=1), tmp_path / "teacher")
  config = student(
    training__init_from=str(tmp_path / "teacher"), training__steps=4, training__checkpoint_every=2
  )
  # A schedule that does not know how long the run is to be.
  config["optimizer"] |= {"schedule": "constant", "warmup": 0}
  short = {**config, "training": {**config["training"], "steps": 2}}
  whole = train(config, tmp_path / "whole")
  train(short, tmp_path / "parts")
  parts = train(config, tmp_path / "parts")
  jax.tree.map(np.testing.assert_array_equal, whole, parts)
  teacher = newest_state(tmp_path / "teacher")["ema"]
  jax.tree.map(np.testing.assert_array_equal, whole.extra.teacher, teacher)
  for moved in (whole.params, whole.extra.critic):
    changes = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), moved, teacher)
    assert max(jax.tree.leaves(changes)) > 1e-4
  clips = list(load(tmp_path / "whole").rollout(PROMPTS[:1], [0], frames=5))
  assert len(clips) == 5 and all(np.isfinite(clip["sight"]).all() for clip in clips)


@pytest.mark.parametrize(
  ("section", "key", "value", "words"),
  [
    ("sampling", "solver", "euler", "solver='consistency'"),
    ("sampling", "guidance", 2.0, "sampling.guidance=1"),
    ("training", "init_from", "", "set training.init_from to the teacher"),
    ("model", "causal", False, "set model.causal"),
    ("self_forcing", "every", 0, "at least 1"),
    ("rollout", "chunk", 3, "not a multiple of rollout.chunk"),
    ("rollout", "how", "windows", "self_forcing: .* set rollout.how='causal'"),
  ],
)
def test_what_does_not_fit_is_refused(section, key, value, words):
  config = student()
  config[section][key] = value
  with pytest.raises(UserError, match=words):
    build(config)


@pytest.mark.parametrize(
  ("section", "key", "value", "words"),
  [
    ("model", "causal", False, "grpo: .* set model.causal"),
    ("rollout", "how", "windows", "grpo: .* set rollout.how='causal'"),
    ("rollout", "chunk", 3, "grpo: source.frames=4 is not a multiple of rollout.chunk"),
    ("sampling", "solver", "consistency", "sampling.solver='consistency' does not fit"),
    ("grpo", "group", 3, "training.batch=8 must be a multiple of grpo.group=3"),
  ],
)
def test_what_does_not_fit_grpo_is_refused(section, key, value, words):
  config = micro.config(**CAUSAL, sampling__steps=2)
  config["grpo"] = {"group": 4}
  config[section][key] = value
  with pytest.raises(UserError, match=words):
    build(config)


@pytest.mark.slow
@pytest.mark.system
def test_motion_is_trained_for_and_a_stopped_run_ends_with_the_same_bits(tmp_path):
  config = micro.config(**CAUSAL, training__steps=2, training__checkpoint_every=1, sampling__steps=2)
  config["optimizer"] |= {"schedule": "constant", "warmup": 0}
  config["grpo"] = {"group": 4}
  whole = train(config, tmp_path / "whole")
  train({**config, "training": {**config["training"], "steps": 1}}, tmp_path / "parts")
  jax.tree.map(np.testing.assert_array_equal, whole, train(config, tmp_path / "parts"))
  written = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
  assert {"reward", "speed", "variance"} <= set(written[-1])
