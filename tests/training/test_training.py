"""Steps, averages, accumulation, meshes, bad numbers; and a sixth sense."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import autoencoder_digits, cartoons_small, digits, digits_causal, movie
from stale_jax.checkpoints.fingerprint import fingerprint, word_sums
from stale_jax.checkpoints.load import newest_ema
from stale_jax.checkpoints.named import AUTOENCODER, CARTOONS, CAUSAL, DIGITS
from stale_jax.checkpoints.reading import newest_state
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.config import build
from stale_jax.data import loader
from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.mesh import AXES, MeshShape, batch_sharding, state_shardings
from stale_jax.models.parameters import Parameter
from stale_jax.pipeline import Model, load
from stale_jax.run import train
from stale_jax.training.ema import Ema
from stale_jax.training.initial import init_params
from stale_jax.training.optimizer import Muon
from stale_jax.training.state import initial_state
from stale_jax.training.steps.descent import Descent
from tests import micro

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3)}


def quadratic(params, batch, key):
  loss = jnp.mean(jnp.square(batch @ params["w"] - jax.random.normal(key, (3,))))
  return loss, {"loss": loss}


def descent(optimizer, **fields) -> Descent:
  draw = lambda key: PARAMS  # noqa: E731
  return Descent(draw=draw, loss=quadratic, optimizer=optimizer, ema=Ema(), needs=frozenset(), **fields)


def test_accumulation_is_the_mean_gradient_of_the_parts():
  batch = jax.random.normal(jax.random.key(1), (8, 2))
  optimizer = optax.sgd(0.1)
  state = initial_state(PARAMS, optimizer, jax.random.key(0))
  new, metrics = jax.jit(descent(optimizer, accumulate=2).step)(state, batch)
  key = jax.random.fold_in(jax.random.key(0), 0)
  gradient = jax.grad(quadratic, has_aux=True)
  grads = [gradient(PARAMS, batch[i::2], jax.random.fold_in(key, i)) for i in (0, 1)]
  want = PARAMS["w"] - 0.1 * (grads[0][0]["w"] + grads[1][0]["w"]) / 2
  np.testing.assert_allclose(new.params["w"], want, rtol=1e-6)
  np.testing.assert_allclose(metrics["loss"], (grads[0][1]["loss"] + grads[1][1]["loss"]) / 2, rtol=1e-6)
  assert int(new.step) == 1


def test_steps_that_are_not_finite_are_skipped_and_counted():
  optimizer = optax.adam(0.1)
  step = jax.jit(descent(optimizer).step)
  state = initial_state(PARAMS, optimizer, jax.random.key(0))
  good = jnp.ones((4, 2))
  bad = good.at[0, 0].set(jnp.nan)
  counts = []
  for batch in (good, bad, good, bad, bad, good):
    before = state
    state, _ = step(state, batch)
    counts.append(tuple(int(x) for x in jax.tree.leaves(state.skipped)))
    same = [
      np.array_equal(a, b)
      for a, b in zip(
        *(jax.tree.leaves((s.params, s.opt_state, s.ema)) for s in (before, state)), strict=True
      )
    ]
    assert all(same) if batch is bad else not any(same)
  # total, in a row, most in a row, last
  assert counts == [(0, 0, 0, -1), (1, 1, 1, 1), (1, 0, 1, 1), (2, 1, 1, 3), (3, 2, 2, 4), (3, 0, 2, 4)]
  assert int(state.step) == 6


@pytest.mark.parametrize("stack", [(), (2,), (2, 3)])
def test_muon_orthogonalises_what_is_declared_so_each_matrix_by_itself(stack):
  rng = np.random.default_rng(0)
  shapes = {"block": {"up": (6, 24), "modulation": (6, 12), "bias": (6,)}, "out": {"kernel": (6, 4)}}
  declared = jax.tree.map(
    lambda shape: Parameter(shape=shape, stack=stack, orthogonal=shape == (6, 24)),
    shapes,
    is_leaf=lambda x: isinstance(x, tuple),
  )
  # Of very different norms.
  draw = jax.tree.map(
    lambda p: rng.standard_normal(p.stored_shape) * rng.uniform(0.1, 10, (*stack, *(1,) * len(p.shape))),
    declared,
  )
  params = jax.tree.map(lambda x: jnp.zeros(x.shape), draw)
  options = {"warmup": 0, "weight_decay": 0.0, "clip": 1e9}
  optimizer = Muon(learning_rate=1e-3, matrix_learning_rate=0.02, **options).build(10, declared)
  updates, state = optimizer.update(jax.tree.map(jnp.float32, draw), optimizer.init(params), params)
  # The quintic of Newton and Schulz, five times over the singular values in float64.
  given, got = (np.reshape(x["block"]["up"], (-1, 6, 24)) for x in (draw, updates))
  for matrix, updated in zip(given, got, strict=True):
    u, values, v = np.linalg.svd(matrix, full_matrices=False)
    values /= np.linalg.norm(values)
    for _ in range(5):
      values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    want = -0.02 * np.sqrt(24 / 6) * (u * values) @ v
    np.testing.assert_allclose(updated, want, atol=2e-6)
  # Adam's first step is the sign of the gradient.
  for updated, gradient in (
    (updates["block"]["modulation"], draw["block"]["modulation"]),
    (updates["block"]["bias"], draw["block"]["bias"]),
    (updates["out"]["kernel"], draw["out"]["kernel"]),
  ):
    assert (np.sign(updated) == -np.sign(gradient)).all()
    np.testing.assert_allclose(abs(updated), abs(updated).mean(), rtol=1e-3)


def test_ema_is_its_recursion():
  ema, average, want = Ema(decay=0.9), {"w": jnp.zeros(2)}, np.zeros(2)
  for step in range(200):
    new = np.array([step, 1.0])
    average = ema(average, {"w": jnp.asarray(new, jnp.float32)}, step)
    decay = min(0.9, (1 + step) / (10 + step))
    want = decay * want + (1 - decay) * new
  np.testing.assert_allclose(average["w"], want, rtol=1e-5)


def test_a_checkpoint_holds_what_a_run_uses_and_no_more(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  usual = {"step", "params", "opt_state", "ema", "key", "skipped"}
  for step, ema in ((1, Ema()), (2, Ema(snapshots=4))):
    state = initial_state(PARAMS, optax.adam(0.1), jax.random.key(0), ema.start(PARAMS))
    checkpoints = Checkpointer(tmp_path)
    checkpoints.save(step, state, {})
    checkpoints.close()
    assert set(newest_state(tmp_path)) == usual | ({"tracks"} if step == 2 else set())
    checkpoints = Checkpointer(tmp_path)
    restored, _ = checkpoints.restore(jax.tree.map(jnp.zeros_like, state))
    checkpoints.close()
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_the_fingerprint_sees_every_bit():
  def told(state, data):
    return fingerprint(word_sums(vars(state)), data)

  state = initial_state(PARAMS, optax.sgd(0.1), jax.random.key(0))
  print_ = told(state, {"a": 1})
  assert told(jax.tree.map(jnp.copy, state), {"a": 1}) == print_
  assert told(state, {"a": 2}) != print_
  bits = np.asarray(PARAMS["w"]).copy().view(np.uint32)
  bits[1, 2] ^= 1
  assert told(state.replace(params={"w": jnp.asarray(bits.view(np.float32))}), {"a": 1}) != print_


def test_meshes():
  mesh = MeshShape().build()
  assert set(mesh.shape.values()) == {1} and set(mesh.shape) == set(AXES)
  assert batch_sharding(mesh).spec[0] == ("data", "fsdp")
  assert all(s.is_fully_replicated for s in jax.tree.leaves(state_shardings(mesh, PARAMS)))


@pytest.mark.system
@pytest.mark.parametrize("skips", [0, 1])
def test_a_nan_in_a_batch_names_step_examples_and_checkpoint(tmp_path, monkeypatch, capfd, skips):
  config = micro.config(training__steps=100 if skips == 0 else 12, training__skips=skips)
  experiment = build(config)
  text_length = experiment.network.text_length
  batches = iter(
    loader(experiment.data.source, experiment.data.senses, batch=8, text_length=text_length, seed=0)
  )
  tenth = [next(batches).index.tolist() for _ in range(10)][-1]
  bad, honest = tenth[2:4], Digits.__getitem__

  def broken(self, index):
    example = honest(self, index)
    if index in bad:
      example["clip"]["touch"][0, 0] = np.nan
    return example

  monkeypatch.setattr(Digits, "__getitem__", broken)
  named = (
    f"the loss is not finite at step 10, batch of examples {tenth}: examples {bad} hold values that are not"
  )
  if skips:
    state = train(config, tmp_path)
    assert f"skipped 1 steps so far; {named} finite." in capfd.readouterr().out
    logged = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert logged["skipped_steps"] == 1 and logged["tflops_per_device"] > 0 and "mfu" not in logged
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
    return
  with pytest.raises(UserError) as error:
    train(config, tmp_path)
  assert str(error.value) == (f"{named} finite; the last good checkpoint is step 8.")
  monkeypatch.undo()
  state, _ = newest_ema(tmp_path)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


@pytest.mark.system
def test_loss_falls_weights_travel_and_a_run_starts_from_them(tmp_path):
  config = micro.config(training__steps=60)
  state = train(config, tmp_path / "a")
  losses = [json.loads(line)["loss"] for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
  assert losses[-1] < 0.5 * losses[0]
  assert list((tmp_path / "a/tensorboard").iterdir())
  save_weights(tmp_path / "w.safetensors", state.ema, config)
  params, kept = load_weights(tmp_path / "w.safetensors")
  assert kept == json.loads(json.dumps(config))
  for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(state.ema), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)
  # A run from these weights starts where they end.
  further = micro.config(
    training__steps=4,
    training__init_from=str(tmp_path / "w.safetensors"),
    optimizer__learning_rate=0.0,
    optimizer__matrix_learning_rate=0.0,
  )
  state = train(further, tmp_path / "b")
  for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(state.params), strict=True):
    np.testing.assert_array_equal(a, b)
  other = micro.config(training__init_from=str(tmp_path / "w.safetensors"), model__depth=2)
  with pytest.raises(UserError, match="of another model"):
    train(other, tmp_path / "c")
  # Generation loads it the same from the run and from the file.
  one = load(tmp_path / "a").generate("a red two", seed=3)
  two = load(tmp_path / "w.safetensors").generate("a red two", seed=3)
  np.testing.assert_allclose(one.clip["sight"], two.clip["sight"], atol=0.02)
  with pytest.raises(UserError, match="white space"):
    load(tmp_path / "a").generate("  ")
  with pytest.raises(UserError, match="no run in"):
    load(tmp_path)


@pytest.mark.system
def test_a_sixth_sense_is_a_config_line(tmp_path):
  config = micro.config(senses=("sight", "sound", "touch", "smell", "taste", "balance"), training__steps=8)
  train(config, tmp_path)
  movie = load(tmp_path).generate("a red two moves left slowly")
  assert movie.clip["balance"].shape == (4, 2) and set(movie.clip) == set(config["senses"])
  video = movie.save(tmp_path / "movies")
  with np.load(video.with_suffix(".npz")) as file:
    np.testing.assert_array_equal(file["balance"], movie.clip["balance"])
  assert "balance" in movie._repr_html_()


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"seed": -1}, "seed=-1"),
    ({"training__steps": 0}, "training.steps=0"),
    ({"training__log_every": 0}, "training.log_every=0"),
    ({"training__caption_dropout": 1.0}, "caption_dropout=1.0"),
    ({"mesh__fsdp": 0}, "fsdp=0"),
    ({"model__heads": 0}, "model.heads=0"),
    ({"model__dtype": "flaot32"}, "did you mean 'float32'"),
    ({"sampling__solver": "eulr"}, "did you mean 'euler'"),
    ({"sampling__shift": 0.0}, "shift=0.0"),
    ({"sampling__guidance": float("nan")}, "guidance=nan"),
    ({"sampling__interval": (0.9, 0.1)}, "interval=(0.9, 0.1)"),
    ({"source__frames": 5}, "source.frames=5"),
    ({"objective__weights": {"suond": 1.0}}, "objective.weights.suond"),
  ],
)
def test_values_that_cannot_be_are_named(overrides, words):
  with pytest.raises(UserError, match=re.escape(words)):
    build({**micro.config(), **_nested(overrides)})


def _nested(overrides):
  config = micro.config()
  for key, value in overrides.items():
    section, _, name = key.partition("__")
    config[section] = {**config[section], name: value} if name else value
  return config


@pytest.mark.system
def test_another_optimizer_s_checkpoints_are_not_called_damaged(tmp_path):
  train(micro.config(training__steps=8), tmp_path)
  with pytest.raises(UserError, match="optimizer"):
    train(_nested({"optimizer": {"name": "adamw"}}), tmp_path)
  assert not list(tmp_path.glob("damaged_*"))
  # Nothing but damaged ones is no reason to start anew unasked.
  (tmp_path / "checkpoints" / "8").rename(tmp_path / "damaged_8")
  with pytest.raises(UserError, match="every checkpoint of"):
    train(micro.config(training__steps=8), tmp_path)


def test_the_shipped_autoencoder_is_that_of_its_config():
  params, config = load_weights(AUTOENCODER)
  experiment = build(autoencoder_digits.get_config().to_dict())
  assert build(config) == experiment and AUTOENCODER.stat().st_size < 2e6
  shapes = jax.eval_shape(lambda: init_params(experiment, jax.random.key(0)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)


def test_a_seed_s_clip_does_not_depend_on_the_batch():
  experiment = build(micro.config())
  params = jax.tree.map(lambda x: x + 0.02, init_params(experiment, jax.random.key(0)))
  model = Model(experiment, params, "fresh")
  prompts = [f"a red {word}" for word in ("one", "two", "three", "four", "five")]
  together = model.sample(prompts, range(5))
  alone = model.sample(prompts[3:4], [3])
  many = model.sample(prompts * 3, [*range(5), *range(5, 15)])
  for name in together:
    # A clip alone is made by a program for one clip, whose products round otherwise.
    np.testing.assert_allclose(together[name][3:4], alone[name], atol=1e-5)
    np.testing.assert_array_equal(together[name], many[name][:5])


def test_the_hard_mode_is_not_trained(tmp_path):
  with pytest.raises(UserError, match="set model.forms=concrete"):
    train(micro.config(model__forms="hard"), tmp_path / "run")
  assert not (tmp_path / "run" / "config.json").exists()


def test_the_model_of_digits_is_what_its_config_makes():
  assert DIGITS.stat().st_size < 20e6
  params, config = load_weights(DIGITS)
  assert build(config) == build(digits.get_config().to_dict())
  shapes = jax.eval_shape(lambda: init_params(build(config), jax.random.key(0)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
  scores = json.loads(DIGITS.with_suffix(".json").read_text())
  assert scores["captions"]["clips"] == 480


def test_the_model_of_cartoons_is_what_its_config_makes():
  assert CARTOONS.stat().st_size < 40e6
  params, config = load_weights(CARTOONS)
  assert build(config) == build(cartoons_small.get_config().to_dict())
  shapes = jax.eval_shape(lambda: init_params(build(movie.get_config().to_dict()), jax.random.key(0)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
  scores = json.loads(CARTOONS.with_suffix(".json").read_text())
  assert scores["cartoons"]["clips"] == 96


def test_the_causal_model_of_the_package_is_what_its_config_makes():
  params, config = load_weights(CAUSAL)
  assert build(config) == build(digits_causal.get_config().to_dict())
  shapes = jax.eval_shape(lambda: init_params(build(config), jax.random.key(0)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
