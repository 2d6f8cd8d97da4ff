"""The pyramid adds up, and its objective has the posterior mean for its one optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from stale_jax.clip import Batch, Context
from stale_jax.config import build
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.evaluation import band_energy
from stale_jax.objectives import Denoising, DoG, Prediction, Total, band_energies, response, split_bands
from stale_jax.objectives.dog import BandLoss, band_weights
from stale_jax.objectives.pyramid import blur_matrix
from stale_jax.processes import Corruption, GaussianFlow, Reflected, UniformFlow
from tests import micro

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 2, 8, 16])
@pytest.mark.parametrize("sd", [0.5, 1.0, 2.0, 4.0, 16.0])
def test_blur_is_scipy_s_and_its_rows_sum_to_one(size, sd):
  matrix = blur_matrix(size, sd)
  np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
  x = RNG.standard_normal((size, 3))
  if sd >= 2:  # A sampled Gaussian is one no sooner.
    want = gaussian_filter1d(x, sd, axis=0, mode="reflect", truncate=8)
    np.testing.assert_allclose(matrix @ x, want, atol=1e-6)
  wave = np.cos(np.pi * (size - 1) * (np.arange(size) + 0.5) / size)
  want = np.exp(-0.5 * (sd * np.pi * (size - 1) / size) ** 2) * wave
  np.testing.assert_allclose(matrix @ wave, want, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 8, 16, 12, 3), (2, 8, 5), (1, 1, 4, 4, 1)])
def test_bands_add_up_to_the_identity_and_fine_ones_ignore_constants(shape):
  x = RNG.standard_normal(shape)
  parts = split_bands(x, 4)
  assert len(parts) == 4
  np.testing.assert_allclose(sum(parts), x, atol=1e-12)
  for fine in split_bands(np.full(shape, 0.7), 4)[:-1]:
    np.testing.assert_allclose(fine, 0, atol=1e-12)
  for ours, jax_s in zip(parts, split_bands(jnp.float32(x), 4), strict=True):
    np.testing.assert_allclose(jax_s, ours, atol=1e-5)


def test_bands_part_the_frequencies_along_every_axis():
  for axis in (1, 2, 3):
    shape = [1, 1, 1, 1, 1]
    shape[axis] = 32
    place = np.arange(32).reshape(shape)
    whole = [32 if a in (1, 2, 3) else 1 for a in range(5)]
    fine, coarse = (np.broadcast_to(np.cos(np.pi * k * (place + 0.5) / 32), whole) for k in (30, 1))
    assert np.argmax([float(e[0]) for e in band_energies(fine, 4)]) == 0
    assert np.argmax([float(e[0]) for e in band_energies(coarse, 4)]) == 3


def batch_of(clip, valid=None):
  size = len(next(iter(clip.values())))
  text = jnp.zeros((size, 1), jnp.int32)
  return Batch(clip=clip, context=Context(text=text, valid=valid or {}), index=jnp.arange(size))


SOURCE = Digits(canvas=12, frames=4, patch=2)


def digits(process, **options):
  return DoG(process=process, **options).measured(SOURCE)


@pytest.mark.parametrize("process", [UniformFlow(), GaussianFlow(), Reflected()])
def test_residual_squared_is_the_loss(process):
  x, out = jnp.float32(RNG.uniform(-1, 1, (2, 3, 4, 5)))
  t = jnp.float32(RNG.random((3, 4)))
  corruption = process.corrupt(jax.random.key(0), x, t)
  residual = process.residual(out, corruption, t)
  np.testing.assert_allclose(process.loss(out, corruption, t), np.square(residual), rtol=1e-6)


@pytest.mark.parametrize("process", [UniformFlow(), Reflected()])
def test_its_optimum_is_the_posterior_mean_and_nothing_else(process):
  """A finite distribution, every x_t the same: the optimal output is linear least squares, in float64."""
  with jax.enable_x64(True):
    n, shape = 5, (2, 3, 4, 1)
    x_t = jnp.asarray(np.broadcast_to(RNG.uniform(-1, 1, shape), (n, *shape)))
    target = jnp.asarray(RNG.uniform(-1, 1, (n, *shape)))
    mass = jnp.asarray(RNG.dirichlet(np.ones(n)))
    t = jnp.asarray(np.broadcast_to([0.3, 0.8], (n, 2)))  # Frames at different times.
    dog = digits(process, bands=3)
    dog.band_weights["sight"] = np.array([5.0, 2.0, 0.1])

    def expected(output):
      def one(m, target, x_t, t):
        corruption = Corruption(x_t[None], target[None])
        prediction = Prediction(output={"sight": output[None]}, corruption={"sight": corruption}, t=t[None])
        return m * dog(prediction, batch_of({"sight": x_t[None]}))["loss"]

      return jnp.sum(jax.vmap(one)(mass, target, x_t, t))

    # Where the plain loss has its minimum.
    def plain(output):
      one = jax.vmap(
        lambda m, y, x, t: m * process.loss(output[None], Corruption(x[None], y[None]), t[None]).sum()
      )
      return jnp.sum(one(mass, target, x_t, t))

    def minimum(f):
      """Of a quadratic, by one Newton step from anywhere; and its Hessian."""
      at = jnp.asarray(RNG.standard_normal(shape))
      size = at.size
      gradient, hessian = jax.jit(lambda x: (jax.grad(f)(x), jax.hessian(f)(x).reshape(size, size)))(at)
      step = np.linalg.solve(hessian, np.ravel(gradient))
      return np.asarray(at) - step.reshape(shape), hessian

    best, hessian = minimum(expected)
    want, _ = minimum(plain)
    np.testing.assert_allclose(best, want, atol=1e-9)
    if isinstance(process, UniformFlow):
      np.testing.assert_allclose(best, np.tensordot(mass, target, (0, 0)), atol=1e-9)
    assert np.abs(jax.jit(jax.grad(expected))(jnp.asarray(best))).max() < 1e-10
    # Strictly convex, so that the gradient vanishes nowhere else; and not the plain loss in disguise.
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert eigenvalues.min() > 1e-6
    assert np.abs(hessian - np.diag(np.diag(hessian))).max() > 1e-2 * eigenvalues.max()


def test_bands_of_real_clips_weigh_the_same():
  dog = digits(UniformFlow())
  clips = np.stack([SOURCE[i]["clip"]["sight"] for i in range(256)]).astype(np.float64)
  energies = [e.mean() for e in band_energies(clips - clips.mean(), 3)]
  weighed = dog.band_weights["sight"] * energies
  np.testing.assert_allclose(weighed, weighed.mean(), rtol=1e-6)
  assert weighed.sum() == pytest.approx(sum(energies))
  # A sense that does not change in time has no fine band, and no infinite weight.
  assert np.isfinite(dog.band_weights["taste"]).all() and band_weights(np.zeros(2)).tolist() == [1, 1]


def test_its_formula_and_its_mask():
  process = UniformFlow()
  dog = digits(process, weight=0.7, weights={"touch": 0.3})
  clip = {
    n: jnp.float32(RNG.uniform(-1, 1, s)) for n, s in (("sight", (3, 4, 6, 6, 3)), ("touch", (3, 4, 4)))
  }
  valid = {"touch": jnp.asarray([[1, 1, 0, 1]] * 3, bool)}
  t = jnp.full((3, 4), 0.5)

  def metrics(clip):
    corruption = {n: process.corrupt(jax.random.key(0), x, t) for n, x in clip.items()}
    output = {n: 0.5 * x for n, x in clip.items()}
    return dog(Prediction(output=output, corruption=corruption, t=t), batch_of(clip, valid))

  got, want = metrics(clip), {}
  for name, x in clip.items():
    residual = -np.asarray(x, np.float64)  # (x / 2 - x) / .5
    if name == "touch":
      residual[:, 2] = 0
    parts = split_bands(residual, 3)
    energy = sum(w * np.square(p).sum() for w, p in zip(dog.band_weights[name], parts, strict=True))
    want[name] = energy / (residual.size if name == "sight" else 3 * 3 * 4)
    assert float(got[f"dog/{name}"]) == pytest.approx(want[name], rel=1e-5)
  assert float(got["loss"]) == pytest.approx(0.7 * (want["sight"] + 0.3 * want["touch"]), rel=1e-5)
  other = metrics({**clip, "touch": clip["touch"].at[:, 2].set(0.9)})
  assert float(other["loss"]) == pytest.approx(float(got["loss"]), rel=1e-6)


def test_one_section_turns_it_on():
  config = micro.config()
  assert [type(term) for term in build(config).training.objective.terms] == [Denoising]
  objective = build({**config, "dog": {"weight": 0.3, "bands": 4}}).training.objective
  assert isinstance(objective, Total)
  plain, dog = objective.terms
  assert isinstance(plain, Denoising) and (dog.weight, dog.bands) == (0.3, 4)
  assert dog.weights == plain.weights == config["objective"]["weights"]
  # What is measured on the data is measured when a step is built, not with the config.
  assert isinstance(objective.measured(SOURCE).terms[1], BandLoss)
  for wrong, words in (({"bands": 1}, "bands=1"), ({"weight": -1.0}, "weight=-1"), ({"wieght": 1}, "weight")):
    with pytest.raises(UserError, match=words):
      build({**config, "dog": wrong})


def test_band_energy_tells_blur_from_noise():
  source = Digits(canvas=12, frames=4, patch=2)
  clips = np.stack([source[i]["clip"]["sight"] for i in range(64)])
  assert band_energy(clips[:32], clips[32:]) == pytest.approx([1, 1, 1], abs=0.3)
  assert band_energy(clips, clips) == pytest.approx([1, 1, 1])
  blurred = sum(split_bands(clips, 3)[1:])
  noisy = clips + 0.3 * RNG.standard_normal(clips.shape)
  assert band_energy(blurred, clips)[0] < 0.5 and band_energy(blurred, clips)[2] > 0.8
  assert band_energy(noisy, clips)[0] > 1.2 and band_energy(noisy, clips)[2] == pytest.approx(1, abs=0.1)
  assert (response({"sight": blurred}) < response({"sight": clips})).all()
  fine = response({"sight": clips}) / clips[0].size
  np.testing.assert_allclose(fine, sum(band_energies(clips, 3)[:2]), rtol=1e-5)
