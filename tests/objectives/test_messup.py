"""Messing up in training: what the network is shown, what the loss reads, whose caption it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Batch, Context
from stale_jax.config import build
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.objectives import ConditionCorruption, MessUp, predict
from stale_jax.objectives.objective import Objective
from stale_jax.processes import GaussianFlow, Reflected, Uniform, UniformFlow
from stale_jax.testing.models import moved
from stale_jax.training.initial import init_params
from stale_jax.training.steps.denoise import DenoisingLoss
from tests import micro

SIZE, FRAMES = 64, 4
PROCESSES = pytest.mark.parametrize(
  "process", [UniformFlow(), GaussianFlow(), Reflected()], ids=lambda p: type(p).__name__
)


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  clip = {name: jnp.float32(rng.uniform(-1, 1, (SIZE, FRAMES, n))) for name, n in (("a", 300), ("b", 200))}
  words = jnp.asarray(text.tokenize([f"caption {i}" for i in range(SIZE)], 16))
  return Batch(clip=clip, context=Context(text=words), index=jnp.arange(SIZE))


class Listener:
  """Keeps what it is shown."""

  labels, micro, mask = 0, (), False

  def apply(self, params, clip, t, context, rngs):
    self.clip, self.t, self.context, self.rngs = clip, t, context, rngs
    return {name: 0 * x for name, x in clip.items()}


class Spy(Objective):
  """An objective that keeps the corruption it is given."""

  def __call__(self, prediction, batch):
    self.prediction = prediction
    return {"loss": jnp.zeros(())}


def shown(process, batch, messup, key=0, corruption=None, dropout=0.0):
  listener, spy = Listener(), Spy()
  corruption = corruption or ConditionCorruption()
  loss = DenoisingLoss(
    network=listener,
    process=process,
    time_sampler=Uniform(),
    objective=spy,
    condition_dropout=dropout,
    messup=messup,
    corruption=corruption,
  )
  loss({}, batch, jax.random.key(key))
  return listener, spy.prediction


@PROCESSES
def test_the_network_sees_more_noise_and_the_loss_does_not(process, batch):
  honest, prediction = shown(process, batch, MessUp())
  messy, corrupted = shown(process, batch, MessUp(noise=0.1))
  for name in batch.clip:
    np.testing.assert_array_equal(honest.clip[name], prediction.corruption[name].x_t)
    for a, b in zip(prediction.corruption[name], corrupted.corruption[name], strict=True):
      np.testing.assert_array_equal(a, b)
    added = np.asarray(messy.clip[name] - honest.clip[name], np.float64)
    assert (np.abs(added) > 0).mean() > 0.7
    if type(process) is not GaussianFlow:
      assert np.abs(messy.clip[name]).max() <= 1
  a, b = (np.asarray(messy.clip[n] - honest.clip[n])[..., :200].ravel() for n in batch.clip)
  assert abs(np.corrcoef(a, b)[0, 1]) < 0.02  # A sense's own noise.


def test_on_a_gaussian_flow_it_is_ning_et_al_s_formula(batch):
  gamma = 0.25
  honest, _ = shown(GaussianFlow(), batch, MessUp())
  messy, _ = shown(GaussianFlow(), batch, MessUp(noise=gamma))
  t = np.asarray(honest.t)[..., None]
  added = np.asarray(messy.clip["a"] - honest.clip["a"]) / np.maximum(t, 1e-6) / gamma
  assert added.mean() == pytest.approx(0, abs=0.02) and added.std() == pytest.approx(1, abs=0.02)
  noise = (np.asarray(honest.clip["a"]) - (1 - t) * np.asarray(batch.clip["a"])) / np.maximum(t, 1e-6)
  assert abs(np.corrcoef(added[1:].ravel(), noise[1:].ravel())[0, 1]) < 0.02  # Fresh noise.


@PROCESSES
def test_clean_frames_stay_clean(process, batch):
  t = jnp.zeros((SIZE, FRAMES)).at[:, 2:].set(0.6)
  seen = {}

  def denoiser(clip, t, context):
    seen.update(clip)
    return clip

  MessUp(noise=0.3).perturb(denoiser, process, jax.random.key(0))(batch.clip, t, batch.context)
  for name, x in batch.clip.items():
    np.testing.assert_allclose(seen[name][:, :2], x[:, :2], atol=1e-6)
    assert np.abs(seen[name][:, 2:] - x[:, 2:]).mean() > 0.02


@pytest.mark.parametrize("eta", [0.0, 0.2, 1.0])
def test_so_many_captions_are_another_s(batch, eta):
  said = np.asarray(batch.context.text)
  whose = {row.tobytes(): i for i, row in enumerate(said)}
  assert len(whose) == SIZE
  wrong, others = 0, set()
  for key in range(40):
    listener, _ = shown(UniformFlow(), batch, MessUp(), key, ConditionCorruption(captions=eta))
    heard = np.array([whose[row.tobytes()] for row in np.asarray(listener.context.text)])
    wrong += (heard != np.arange(SIZE)).sum()
    others.update(((heard - np.arange(SIZE)) % SIZE).tolist())
  # Of eta exactly: its own caption is never "another's".
  assert wrong / (40 * SIZE) == pytest.approx(eta, abs=3 * np.sqrt(eta * (1 - eta) / (40 * SIZE)) + 1e-9)
  if eta == 1:
    assert others == set(range(1, SIZE))
  alone = jax.tree.map(lambda x: x[:1], batch)
  listener, _ = shown(UniformFlow(), alone, MessUp(), 0, ConditionCorruption(captions=eta))
  np.testing.assert_array_equal(listener.context.text, said[:1])


def test_what_is_off_changes_no_other_draw(batch):
  """Times, noise, and who goes without a caption are those of training without this module."""
  every = {"messup": MessUp(noise=0.1, drop=0.1), "corruption": ConditionCorruption(captions=0.3)}
  plain, one = shown(UniformFlow(), batch, MessUp(), dropout=0.3)
  messy, two = shown(UniformFlow(), batch, dropout=0.3, **every)
  np.testing.assert_array_equal(plain.t, messy.t)
  np.testing.assert_array_equal(plain.context.independent_senses, messy.context.independent_senses)
  np.testing.assert_array_equal(one.corruption["a"].x_t, two.corruption["a"].x_t)


def test_training_without_is_bitwise_today_s_and_the_config_reaches_the_network():
  e = build(micro.config(senses=("sight",)))
  params = moved(init_params(e, jax.random.key(0)))
  batch = collate([e.data.source[i] for i in range(8)], e.data.senses, e.network.text_length)
  arguments = params, batch, jax.random.key(3)

  def today(params, batch, key):
    key_drop, key_predict = jax.random.split(key)
    batch = batch.replace(context=batch.context.drop_condition(jax.random.uniform(key_drop, (8,)) < 0.1))
    denoiser = lambda clip, t, context: e.network.apply(params, clip, t, context)  # noqa: E731
    return e.training.objective(
      predict(denoiser, e.diffusion.process, e.diffusion.time_sampler, batch, key_predict), batch
    )["loss"]

  def loss(**sections):
    e = build(micro.config(senses=("sight",), **sections))
    return float(jax.jit(e.training.step.loss(e))(*arguments)[0])

  want = float(jax.jit(today)(*arguments))
  assert loss() == want
  assert abs(loss(messup={"drop": 0.3}) / want - 1) > 1e-4
  assert abs(loss(corruption={"embedding": 1.0}) / want - 1) > 1e-4


@pytest.mark.parametrize(
  ("sections", "words"),
  [
    ({"messup": {"noise": -0.1}}, "messup.noise=-0.1"),
    ({"messup": {"noise": float("nan")}}, "messup.noise=nan"),
    ({"messup": {"drop": 1.0}}, "messup.drop=1.0"),
    ({"messup": {"nosie": 1.0}}, "did you mean 'noise'"),
    ({"corruption": {"captions": 1.5}}, "corruption.captions=1.5"),
    ({"corruption": {"embedding": -1.0}}, "corruption.embedding=-1.0"),
    ({"source": {"name": "digits", "leak": 2.0}}, "source.leak=2.0"),
  ],
)
def test_values_that_cannot_be_are_named(sections, words):
  with pytest.raises(UserError) as error:
    build({**micro.config(), **sections})
  assert words in str(error.value)
