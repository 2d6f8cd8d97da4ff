"""The autoencoder: causality, streaming, bounded latents and their KL divergence."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.models import Autoencoder, build_autoencoder, decode_next
from stale_jax.models.autoencoder import CausalConv, _log_logistic, depth_to_space, lengthen, space_to_depth

KINDS = {
  "kl": {"width": 8, "channels": 3},
  "fsq": {"width": 8, "bottleneck": "fsq", "levels": (5, 4, 3)},
  "deep": {"width": 4, "space": 8, "time": 4, "depth": 2},
  "every frame": {"width": 8, "time": 1},
}


def made(kind, frames=5, size=16):
  model = Autoencoder(**KINDS[kind])
  x = jax.random.uniform(jax.random.key(0), (2, frames, size, size, 3), minval=-1)
  params = model.init({"params": jax.random.key(1), "latent": jax.random.key(2)}, {"sight": x})
  # At initialisation the residual branches are weak.
  params = jax.tree.map(lambda p: p + 0.05 * jax.random.normal(jax.random.key(p.size), p.shape), params)
  return model, params, x


def test_folding_moves_blocks_into_channels():
  x = np.random.default_rng(0).normal(size=(2, 4, 6, 6, 3)).astype(np.float32)
  y = np.asarray(space_to_depth(x, 2, 3))
  for t, h, w in itertools.product(range(2), range(2), range(2)):
    block = x[:, 2 * t : 2 * t + 2, 3 * h : 3 * h + 3, 3 * w : 3 * w + 3]
    np.testing.assert_array_equal(y[:, t, h, w], block.reshape(2, -1))
  np.testing.assert_array_equal(depth_to_space(y, 2, 3), x)


def test_a_convolution_is_that_of_places_and_then_of_this_and_the_two_frames_before():
  x = np.random.default_rng(0).normal(size=(1, 4, 5, 5, 2)).astype(np.float32)
  layer = CausalConv(3)
  params = layer.init(jax.random.key(0), x)
  p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
  kernel, bias = p["space"]["kernel"], p["space"]["bias"] + 0.0
  padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
  placed = np.zeros((1, 4, 5, 5, 3)) + bias
  for i, j in itertools.product(range(3), range(3)):
    placed += padded[:, :, i : i + 5, j : j + 5] @ kernel[i, j]
  placed = np.concatenate([np.zeros((1, 2, 5, 5, 3)), placed], 1)
  want = p["time"]["dense"]["bias"] + np.zeros((1, 4, 5, 5, 3))
  for k in range(3):
    want += placed[:, k : k + 4] @ p["time"]["dense"]["kernel"][3 * k : 3 * k + 3]
  np.testing.assert_allclose(layer.apply(params, x), want, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_as_said_and_latents_bounded(kind):
  model, params, x = made(kind)
  clip, z, nats = model.apply(params, {"sight": x}, rngs={"latent": jax.random.key(3)})
  assert clip["sight"].shape == x.shape and np.shape(nats) == ()
  assert z.shape[1:] == model.latent_shape(5, x.shape[2:])
  assert float(jnp.abs(z).max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_depends_on_a_later_frame(kind):
  model, params, x = made(kind)
  time = model.time
  z = model.apply(params, x, method="encode")
  for group in range(1, z.shape[1]):
    later = x.at[:, 1 + (group - 1) * time :].set(0.3)
    other = model.apply(params, later, method="encode")
    np.testing.assert_array_equal(z[:, :group], other[:, :group])
    assert jnp.abs(z[:, group] - other[:, group]).max() > 1e-4
  y = model.apply(params, z, method="decode")
  other = model.apply(params, z.at[:, -1].set(0.9), method="decode")
  np.testing.assert_array_equal(y[:, : 5 - time], other[:, : 5 - time])
  assert jnp.abs(y[:, 5 - time :] - other[:, 5 - time :]).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_frame_by_frame_it_decodes_the_same(kind):
  model, params, x = made(kind, frames=9)
  z = model.apply(params, x, method="encode")
  whole, past, parts = model.apply(params, z, method="decode"), None, []
  for step in range(z.shape[1]):
    frames, past = decode_next(model, params, past, z[:, step : step + 1])
    assert frames.shape[1] == (1 if step == 0 else model.time)
    parts.append(frames)
  streamed = jnp.concatenate(parts, 1)
  np.testing.assert_allclose(streamed, whole, atol=1e-5)
  # Negative control: without the state the frames differ.
  alone, _ = decode_next(model, params, None, z[:, 1:2])
  assert jnp.abs(alone[:, 0] - whole[:, model.time]).max() > 1e-4


def test_an_image_is_a_clip_of_one_frame():
  model, params, x = made("kl")
  z = model.apply(params, x[:, :1], method="encode")
  np.testing.assert_allclose(z, model.apply(params, x, method="encode")[:, :1], atol=1e-5)
  assert model.apply(params, z, method="decode").shape == (2, 1, 16, 16, 3)
  np.testing.assert_array_equal(lengthen(x, 2)[:, 0], x[:, 0])


def test_finite_scalars_are_the_middles_of_equal_cells():
  model, params, x = made("fsq")
  z = np.asarray(model.apply(params, x, method="encode"))
  for channel, level in enumerate(model.levels):
    middles = (2 * np.arange(level) + 1) / level - 1
    assert np.abs(z[..., channel, None] - middles).min(-1).max() < 1e-6
  every = np.stack(
    np.meshgrid(*[(2 * np.arange(n) + 1) / n - 1 for n in model.levels], indexing="ij"), -1
  ).reshape(-1, 3)
  assert sorted(np.asarray(model.indices(every)).tolist()) == list(range(60))
  # Uniform values fall into all cells equally often.
  uniform = np.random.default_rng(0).uniform(-1, 1, (60000, 3))
  counts = np.bincount(np.asarray(model.indices(uniform)), minlength=60)
  assert abs(counts / 1000 - 1).max() < 5 / np.sqrt(1000)


def test_rounding_passes_the_gradient_straight_through():
  model = Autoencoder(**KINDS["fsq"])
  code = jnp.linspace(-2, 2, 9)[:, None] * jnp.ones(3)
  gradient = jax.grad(lambda c: jnp.sum(model._rounded(c)))(code)
  np.testing.assert_allclose(gradient, 1 - jnp.tanh(code) ** 2, atol=1e-6)


def test_what_latents_are_drawn_to_is_what_tanh_makes_uniform():
  u = np.linspace(-12, 12, 100001)
  density = np.exp(np.asarray(_log_logistic(jnp.asarray(u)), np.float64))
  assert np.trapezoid(density, u) == pytest.approx(1, abs=1e-4)
  below = np.cumsum(density) * (u[1] - u[0])
  np.testing.assert_allclose(below, (np.tanh(u) + 1) / 2, atol=1e-3)


def test_nats_are_the_divergence_from_it():
  model, params, x = made("kl")
  code = model.apply(params, x, method="_code")
  mean, log_sd = (np.asarray(a, np.float64).ravel() for a in jnp.split(code, 2, -1))
  u = np.linspace(-15, 15, 2001)[:, None]
  sd = np.exp(np.clip(log_sd - 3, -8, 2))
  q = np.exp(-0.5 * ((u - mean) / sd) ** 2) / sd / np.sqrt(2 * np.pi)
  log_p = np.asarray(_log_logistic(jnp.asarray(u)), np.float64)
  want = np.trapezoid(q * (np.log(np.maximum(q, 1e-300)) - log_p), u[:, 0], axis=0).mean()
  draws = [model.apply(params, {"sight": x}, rngs={"latent": jax.random.key(i)})[2] for i in range(40)]
  assert np.mean(draws) == pytest.approx(want, abs=4 * np.std(draws) / np.sqrt(40) + 1e-4)


SIGHT = Sense(name="sight", shape=(16, 16, 3), rate=8.0, patch=(1, 4, 4), channels=("r", "g", "b"))


@pytest.mark.parametrize(
  ("section", "frames", "words"),
  [
    ({"spcae": 4}, 5, "did you mean 'space'"),
    ({"bottleneck": "vq"}, 5, "unknown model.bottleneck"),
    ({"bottleneck": "fsq"}, 5, "model.levels"),
    ({"levels": (4, 4)}, 5, "model.levels"),
    ({"space": 6}, 5, "power of two"),
    ({"space": 2, "time": 4}, 5, "more than model.space"),
    ({"time": 2}, 8, "for example 7"),
    ({"space": 32}, 5, "not a multiple"),
    ({"depth": 0}, 5, "must lie from 1"),
  ],
)
def test_what_does_not_fit_is_named(section, frames, words):
  with pytest.raises(UserError, match=words):
    build_autoencoder(section, (SIGHT,), frames, False)


def test_it_needs_something_to_see():
  with pytest.raises(UserError, match="sight"):
    build_autoencoder({}, (), 5, False)
