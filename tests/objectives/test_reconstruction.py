"""The autoencoder's objective: each side of the game moves its own parameters only, and the terms add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Batch, Context
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.models import Autoencoder
from stale_jax.objectives import Reconstruction, bands

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
  objective = Reconstruction(source=SOURCE, feature=0.5, kl=0.1)
  said = objective(model, params, batch, key)
  made, _, nats = model.apply(params, {"sight": x}, rngs={"latent": key})
  difference = np.asarray(made["sight"] - x, np.float64)
  assert float(said["mse"]) == pytest.approx(np.square(difference).mean(), rel=1e-5)
  each = [np.square(b).mean() / e for b, e in zip(bands(difference, 3), objective.energies, strict=True)]
  assert float(said["feature"]) == pytest.approx(np.mean(each), rel=1e-4)
  total = said["mse"] + 0.5 * said["feature"] + 0.1 * nats
  assert float(said["loss"]) == pytest.approx(float(total), rel=1e-6)


def test_frames_that_are_not_real_do_not_count(setting):
  model, params, batch = setting
  valid = jnp.array([[True] * 5, [False] * 5])
  masked = batch.replace(context=batch.context.replace(valid={"sight": valid}))
  objective = Reconstruction(source=SOURCE, kl=0.0)
  said = objective(model, params, masked, jax.random.key(3))
  made = model.apply(params, batch.clip, rngs={"latent": jax.random.key(3)})[0]["sight"]
  want = np.square(np.asarray(made - batch.clip["sight"]))[0].mean()
  assert float(said["mse"]) == pytest.approx(float(want), rel=1e-5)


def test_each_side_moves_its_own_parameters_only(setting):
  model, params, batch = setting
  objective = Reconstruction(source=SOURCE, adversarial=0.5)

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
    objective = Reconstruction(source=SOURCE, kl=0.0, adversarial=adversarial)

    def value(bias):
      # The last bias is added to the decoded clip itself.
      p = jax.tree.map(lambda leaf: leaf, params)  # Else the fixture's own would change.
      p["params"]["up_0"]["dense"]["bias"] = p["params"]["up_0"]["dense"]["bias"] + bias
      return objective(model, p, batch, jax.random.key(3))["loss"]

    return jax.grad(value)(jnp.zeros_like(params["params"]["up_0"]["dense"]["bias"]))

  alone, both, twice = pull(0.0), pull(0.5), pull(1.0)
  np.testing.assert_allclose(twice - alone, 2 * (both - alone), rtol=1e-3, atol=1e-6)
  assert jnp.linalg.norm(both - alone) > 0


@pytest.mark.parametrize("given", [{"kl": -1.0}, {"feature": float("nan")}, {"bands": 1}])
def test_misuse(given):
  with pytest.raises(UserError, match="objective"):
    Reconstruction(source=SOURCE, **given)
