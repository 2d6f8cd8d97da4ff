"""cr-hinge: its formula, its fixed token, and what a head trained by it is good for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Batch, Context
from stale_jax.config import build
from stale_jax.data import Digits, collate, loader
from stale_jax.errors import UserError
from stale_jax.evaluation import evaluate_labels, reward
from stale_jax.evaluation.labels import TIMES, held_out_clips
from stale_jax.models import scored, scores
from stale_jax.models.emoji import emoji_vector
from stale_jax.objectives import Cringe, Prediction, hinge, targets
from stale_jax.pipeline import Model
from stale_jax.training.initial import init_params
from stale_jax.training.state import initial_state
from tests import micro

COUNTS = {"b": 4, "a": 2}
EMOJI = ("😂", "🐱", "👻")


def config(emoji="😂", **overrides):
  return micro.config(
    **{
      "cringe": {"weight": 1.0, "emoji": emoji},
      "optimizer": {"name": "adamw", "learning_rate": 4e-3, "warmup": 20},
      "times": {"name": "uniform"},
      "training__batch": 64,
      "training__steps": 240,
      "training__caption_dropout": 0.9,
      **overrides,
    }
  )


def brute_force(scores, labels, plain):
  """An example's hinge, label by label."""
  out = []
  for i, row in enumerate(scores):
    total = weights = start = 0
    for name, count in COUNTS.items():
      for k in range(count) if labels[name][i] >= 0 else ():
        sign = 1 if k == labels[name][i] else -1
        weight = 1 if plain or sign > 0 else 1 / (count - 1)
        total += weight * max(0.0, 1 - sign * float(row[start + k]))
        weights += weight
      start += count
    out.append(total / weights if weights else 0.0)
  return out


def draw(size=50):
  rng = np.random.default_rng(0)
  labels = {name: rng.integers(-1, count, size) for name, count in COUNTS.items()}
  assert any((labels["a"] < 0) & (labels["b"] < 0)) and any((labels["a"] < 0) & (labels["b"] >= 0))
  return jnp.asarray(2 * rng.standard_normal((size, 6)), jnp.float32), labels


@pytest.mark.parametrize("plain", [True, False])
def test_the_hinge_is_brute_force_s_and_unknown_labels_count_for_nothing(plain):
  given, labels = draw()
  signs = targets(labels, COUNTS)
  signs = jnp.sign(signs) if plain else signs
  np.testing.assert_allclose(hinge(given, signs), brute_force(given, labels, plain), rtol=1e-5, atol=1e-6)
  gradient = jax.grad(lambda given: hinge(given, signs).sum())(given)
  assert np.isfinite(gradient).all() and not np.any(np.asarray(gradient)[np.asarray(signs) == 0])


def test_a_class_weighs_what_its_rivals_do():
  signs = np.asarray(targets({"a": np.array([1, -1]), "b": np.array([2, 0])}, COUNTS))
  np.testing.assert_allclose(signs[0], [-1 / 3, -1 / 3, 1, -1 / 3, -1, 1])
  np.testing.assert_allclose(signs[1], [1, -1 / 3, -1 / 3, -1 / 3, 0, 0])


def test_an_example_may_be_of_several_classes_of_one_name():
  source = Digits(patch=1)
  examples = [{**source[i], "labels": label} for i, label in enumerate(({"b": [0, 3]}, {"b": []}, {"a": 1}))]
  batch = collate(examples, tuple(source.senses.values()), 16, COUNTS)
  assert {name: x.tolist() for name, x in batch.labels.items()} == {
    "b": [[1, 0, 0, 1], [0, 0, 0, 0], [-1, -1, -1, -1]],
    "a": [[-1, -1], [-1, -1], [0, 1]],
  }
  signs = np.asarray(targets(batch.labels, COUNTS))
  np.testing.assert_allclose(signs[0], [1, -1 / 3, -1 / 3, 1, 0, 0])
  np.testing.assert_allclose(signs[1], [-1 / 3] * 4 + [0, 0])
  np.testing.assert_allclose(signs[2], [0, 0, 0, 0, -1, 1])
  # Both that apply are learnt towards, and neither of the others.
  wrong = jnp.asarray([[0.0, -1, -1, 2, 0, 0]])
  np.testing.assert_allclose(hinge(wrong, signs[:1]), [1 / (2 + 2 / 3)], rtol=1e-6)


def test_only_examples_with_a_label_and_no_caption_count():
  given, labels = draw()
  silent = np.arange(50) % 3 == 0
  words = text.tokenize(["" if s else "a caption" for s in silent], 16)
  batch = Batch(clip={}, context=Context(text=words), index=np.arange(50), labels=labels)
  metrics = Cringe(labels=COUNTS, weight=0.3)(
    Prediction(output={}, corruption={}, t=jnp.zeros((50, 1)), scores=given), batch
  )
  counts = silent & ((labels["a"] >= 0) | (labels["b"] >= 0))
  want = np.mean(np.array(brute_force(given, labels, False))[counts])
  np.testing.assert_allclose(metrics["loss/cringe"], want, rtol=1e-5)
  np.testing.assert_allclose(metrics["loss"], 0.3 * want, rtol=1e-5)


def test_the_emoji_is_no_parameter():
  experiments = [build(config(emoji, senses=("touch",))) for emoji in EMOJI]
  trees = [jax.eval_shape(lambda e=e: init_params(e, jax.random.key(0))) for e in experiments]
  assert set(trees[0]) == {"params"} and trees[0] == trees[1] == trees[2]
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: np.float32(0.1 * rng.standard_normal(x.shape)), trees[0])
  clip, t = {"touch": jnp.ones((1, 4, 4))}, jnp.full((1, 4), 0.5)
  context = Context(text=jnp.asarray(text.tokenize([""], 48)))
  given = [scores(e.network, params, clip, t, context) for e in experiments]
  # The same parameters, whichever it is, and yet not one token.
  for a, b in ((0, 1), (0, 2), (1, 2)):
    assert np.abs(given[a] - given[b]).max() > 1e-3
  np.testing.assert_array_equal(emoji_vector("😂", 8), emoji_vector("\N{FACE WITH TEARS OF JOY}", 8))
  assert emoji_vector("😂", 4096).std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"cringe": {"emoji": "😂😂"}}, "single code point"),
    ({"cringe": {"weight": -1.0}}, "weight=-1.0"),
    ({"cringe": {"emojy": "😂"}}, "did you mean 'emoji'"),
    ({"training__caption_dropout": 0.0}, "dropped captions"),
    ({"model__emoji": "😂"}, "unknown config key model.emoji"),
  ],
)
def test_what_cannot_be_is_named(overrides, words):
  with pytest.raises(UserError, match=words):
    build(config(**overrides))


@pytest.fixture(scope="module")
def model():
  experiment = build(config())
  train_step = experiment.training.step.build(experiment)
  optimizer = train_step.optimizer
  state = initial_state(init_params(experiment, jax.random.key(0)), optimizer, jax.random.key(1))
  step = jax.jit(train_step.step)
  batches = iter(loader(experiment.data.source, experiment.data.senses, batch=64, text_length=48, seed=0))
  for _ in range(experiment.training.settings.steps):
    state, _ = step(state, next(batches))
  return Model(experiment, state.ema, "micro")


@pytest.fixture(scope="module")
def clip(model):
  return held_out_clips(model.system, 480, 0)


@pytest.mark.slow
@pytest.mark.system
def test_labels_of_unseen_clips_are_read_and_less_so_the_more_noise(model):
  result, _ = evaluate_labels(model, 480)
  for name, bar in (("colour", 0.6), ("direction", 0.5), ("speed", 0.65)):

    def at(what, name=name):
      return np.array([result["at"][str(t)][f"{what}/{name}"] for t in TIMES])

    accuracy, error, chance = at("accuracy"), at("accuracy_error"), result[f"chance/{name}"]
    assert result[f"accuracy/{name}"] == pytest.approx(accuracy.mean())
    assert accuracy[0] > bar > chance + 5 * error[0], (name, accuracy)
    assert accuracy[2] - accuracy[-1] > 4 * np.hypot(error[2], error[-1])
    assert abs(accuracy[-1] - chance) < 0.15
    np.testing.assert_allclose(error, np.sqrt(accuracy * (1 - accuracy) / 480), rtol=1e-4)
    assert at("hinge")[0] < at("hinge")[-1] - 5 * at("hinge_error")[-1]


@pytest.mark.slow
@pytest.mark.system
def test_the_clip_is_judged_and_not_its_caption(model, clip):
  clip, _ = clip
  network, t = model.system.network, jnp.full((480, 4), 0.25)

  @jax.jit
  def judge(words):
    given = network, model.params, clip, t, Context(text=words)
    return scores(*given), scored(*given)[1]

  captions = ("a red two moves left slowly", "a green five moves up quickly", "")
  (one, one_seen), (two, two_seen), (none, _) = (
    judge(text.tokenize([caption] * 480, 48)) for caption in captions
  )
  np.testing.assert_array_equal(one, two)
  np.testing.assert_array_equal(one, none)
  # Were the caption not withheld, it would matter.
  assert np.abs(one_seen - two_seen).max() > 1e-3


@pytest.mark.slow
@pytest.mark.system
def test_the_reward_of_the_truth_is_greater_than_of_any_lie(model, clip):
  clip, labels = clip
  labels = {"colour": labels["colour"].argmax(-1)}
  true = reward(model, clip, labels)
  for shift in range(1, 6):
    margin = true - reward(model, clip, {"colour": (labels["colour"] + shift) % 6})
    assert margin.mean() > 10 * margin.std() / np.sqrt(480), shift
  assert (true <= 0).all() and not reward(model, clip, {"colour": np.full(480, -1)}).any()
