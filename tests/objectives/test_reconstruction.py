"""The autoencoder's objective: each side of the game moves its own parameters only, and the terms add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Batch, Context
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.models import Autoencoder
from stale_jax.objectives import Reconstruction, split_bands

SOURCE = Digits(canvas=16, frames=5, patch=1)


@pytest.fixture(scope="module")
def setting():
  model = Autoencoder(width=8, adversary=True)
  x = np.stack([SOURCE[i]["clip"]["sight"] for i in range(2)])
  params = model.init({"params": jax.random.key(0), "latent": jax.random.key(1)}, {"sight": x})
  batch = Batch(clip={"sight": x}, context=Context(text=jnp.zeros((2, 4), jnp.int32)), index=jnp.arange(2))
  return model, params, batch


def test_the_terms_are_what_they_are_called(setting):
  model, params, batch = setting
  x, key = batch.clip["sight"], jax.random.key(3)
  objective = Reconstruction(feature=0.5, kl=0.1).measured(SOURCE)
  said = objective(model, params, batch, key)
  made, _, nats = model.apply(params, {"sight": x}, rngs={"latent": key})
  difference = np.asarray(made["sight"] - x, np.float64)
  assert float(said["mse"]) == pytest.approx(np.square(difference).mean(), rel=1e-5)
  each = [
    np.square(b).mean() / e for b, e in zip(split_bands(difference, 3), objective.energies, strict=True)
  ]
  assert float(said["feature"]) == pytest.approx(np.mean(each), rel=1e-4)
  total = said["mse"] + 0.5 * said["feature"] + 0.1 * nats
  assert float(said["loss"]) == pytest.approx(float(total), rel=1e-6)


def test_frames_that_are_not_real_do_not_count(setting):
  model, params, batch = setting
  valid = jnp.array([[True] * 5, [False] * 5])
  masked = batch.replace(context=batch.context.replace(valid={"sight": valid}))
  objective = Reconstruction(kl=0.0).measured(SOURCE)
  said = objective(model, params, masked, jax.random.key(3))
  made = model.apply(params, batch.clip, rngs={"latent": jax.random.key(3)})[0]["sight"]
  want = np.square(np.asarray(made - batch.clip["sight"]))[0].mean()
  assert float(said["mse"]) == pytest.approx(float(want), rel=1e-5)


def test_each_side_moves_its_own_parameters_only(setting):
  model, params, batch = setting
  objective = Reconstruction(adversarial=0.5).measured(SOURCE)

  def gradient(name, without=None):
    def value(params):
      metrics = objective(model, params, batch, jax.random.key(3))
      return metrics[name] - (metrics[without] if without else 0)

    return jax.grad(value)(params)["params"]

  judged = gradient("judge")
  assert all(
    not jnp.any(x) for name, tree in judged.items() if name != "patches" for x in jax.tree.leaves(tree)
  )
  assert any(jnp.any(x) for x in jax.tree.leaves(judged["patches"]))
  rest = gradient("loss", "judge")
  assert not any(jnp.any(x) for x in jax.tree.leaves(rest["patches"]))
  fooled = gradient("fooled")
  assert any(jnp.any(x) for x in jax.tree.leaves(fooled["up_0"]))


def test_the_adversary_pulls_as_hard_as_it_is_weighed(setting):
  model, params, batch = setting

  def pull(adversarial):
    objective = Reconstruction(kl=0.0, adversarial=adversarial).measured(SOURCE)

    def value(bias):
      # The last bias is added to the decoded clip itself.
      p = jax.tree.map(lambda leaf: leaf, params)  # Else the fixture's own would change.
      p["params"]["up_0"]["dense"]["bias"] = p["params"]["up_0"]["dense"]["bias"] + bias
      return objective(model, p, batch, jax.random.key(3))["loss"]

    return jax.grad(value)(jnp.zeros_like(params["params"]["up_0"]["dense"]["bias"]))

  alone, both, twice = pull(0.0), pull(0.5), pull(1.0)
  np.testing.assert_allclose(twice - alone, 2 * (both - alone), rtol=1e-3, atol=1e-6)
  assert jnp.linalg.norm(both - alone) > 0


def test_its_gradient_is_that_of_the_definition(setting):
  model, params, batch = setting
  x, objective = batch.clip["sight"], Reconstruction(kl=0.1, adversarial=0.7).measured(SOURCE)

  def code(params):
    clip, _, nats = model.apply(params, {"sight": x}, rngs={"latent": jax.random.key(3)})
    return clip["sight"], nats

  def likeness(y):
    parts = zip(split_bands(y - x, 3), objective.energies, strict=True)
    return jnp.mean((y - x) ** 2) + 0.5 * sum(jnp.mean(b**2) / float(e) for b, e in parts) / 3

  def judged(params, y):
    return model.apply(params, y, method="judge")

  made, _ = code(params)
  by_likeness, by_judge = jax.grad(likeness)(made), jax.grad(lambda y: -jnp.mean(judged(params, y)))(made)
  balance = np.linalg.norm(np.ravel(by_likeness)) / (np.linalg.norm(np.ravel(by_judge)) + 1e-4)

  def loss(changed):
    y, nats = code(changed)
    hinge = jax.nn.relu(1 - judged(changed, x)).mean() + jax.nn.relu(1 + judged(changed, made)).mean()
    return likeness(y) + 0.1 * nats - 0.7 * float(balance) * judged(params, y).mean() + hinge / 2

  def got(params):
    said = objective(model, params, batch, jax.random.key(3))
    return said["loss"], said["balance"]

  gradient, said = jax.grad(got, has_aux=True)(params)
  assert 0 < balance < 1e4 and float(said) == pytest.approx(balance, rel=1e-3)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5), gradient, jax.grad(loss)(params)
  )


def test_a_judge_that_sees_nothing_pulls_at_nothing(setting):
  model, params, batch = setting
  blind = {**params["params"], "patches": jax.tree.map(jnp.zeros_like, params["params"]["patches"])}

  def gradient(weight):
    objective = Reconstruction(adversarial=weight).measured(SOURCE)

    def value(params):
      said = objective(model, params, batch, jax.random.key(3))
      return said["loss"], said.get("balance")

    return jax.grad(value, has_aux=True)({"params": blind})

  (without, _), (with_it, balance) = gradient(0.0), gradient(0.5)
  assert 0 < float(balance) <= 1e4
  for name in blind.keys() - {"patches"}:
    jax.tree.map(np.testing.assert_array_equal, without["params"][name], with_it["params"][name])


@pytest.mark.parametrize("given", [{"kl": -1.0}, {"feature": float("nan")}, {"bands": 1}])
def test_misuse(given):
  with pytest.raises(UserError, match="objective"):
    Reconstruction(**given)
