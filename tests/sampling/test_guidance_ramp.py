"""A scale of guidance per frame: its values, and that every sampler applies them to the right frames."""

import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.processes import GaussianFlow
from stale_jax.sampling import Sampling
from stale_jax.sampling.guidance import OptimizedScale, Plain, Projected, Rescaled, classifier_free
from stale_jax.sampling.guiding import guidance_of
from stale_jax.testing.models import drawn
from tests import micro

CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True}
WINDOWS = {"source__patch": 1, "first__share": 0.5}
RULES = {
  "cfg": Plain(),
  "apg": Projected(parallel=0.2, norm_limit=1.0),
  "cfg_zero": OptimizedScale(process=GaussianFlow()),
}


def triangle_wave(frames: int, least: float, most: float):
  """The scales of Stability AI's `TrianglePredictionGuider` with a period of one clip."""
  values = np.linspace(0, 1, frames)
  return 2 * np.abs(values - np.floor(values + 0.5)) * (most - least) + least


@pytest.mark.parametrize("frames", [1, 2, 7, 14])
def test_the_scales_are_those_of_stable_video_diffusion(frames):
  linear = Sampling(guidance_ramp=(1.0, 3.0)).scale(frames)
  np.testing.assert_allclose(linear, np.linspace(1, 3, frames), rtol=1e-6)
  orbit = Sampling(guidance_ramp=(1.0, 2.5, 1.0)).scale(frames)
  np.testing.assert_allclose(orbit, triangle_wave(frames, 1, 2.5), rtol=1e-6)
  assert Sampling(guidance=4.0).scale(frames).shape == ()


def test_a_ramp_of_ones_is_no_guidance():
  assert not Sampling(guidance=4.0, guidance_ramp=(1.0, 1.0)).is_guided
  assert Sampling(guidance=1.0, guidance_ramp=(1.0, 2.0)).is_guided


def test_one_scale_replaces_the_ramp_of_a_config():
  model = drawn(micro.config(sampling__guidance_ramp=(1.0, 3.0)))
  assert model.settings().guidance_ramp == (1.0, 3.0)
  assert model.settings(guidance=2.0).guidance_ramp == () and not model.settings(guidance=1.0).is_guided
  assert model.settings(guidance=2.0, guidance_ramp=(2.0, 4.0)).guidance_ramp == (2.0, 4.0)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("interval", [None, (0.4, 1.0)])
def test_each_frame_has_its_own_weight(rule, interval):
  """Frame k of a ramp is frame k of guidance with the scale of frame k, for every rule."""
  rng = np.random.default_rng(0)
  x, c, u = (jnp.asarray(rng.uniform(-1, 1, (2, 4, 3)), jnp.float32) for _ in range(3))
  t = jnp.asarray([[0.3, 0.5, 0.7, 0.9]] * 2, jnp.float32)
  context = Context(text=jnp.ones((2, 4), jnp.int32))

  def denoiser(clip, t, context):
    return {"a": jnp.concatenate([c, u]) if len(t) == 4 else c}

  def guided(scale):
    return classifier_free(denoiser, scale, interval, rule)({"a": x}, t, context)["a"]

  scales = Sampling(guidance_ramp=(1.0, 4.0)).scale(4)
  got, each = guided(scales), [guided(float(scale)) for scale in scales]
  for frame in range(4):
    np.testing.assert_allclose(got[:, frame], each[frame][:, frame], atol=1e-6)
  assert np.abs(got - guided(4.0)).max() > 0.1


def test_rescaling_measures_the_frames_of_the_ramp_together():
  """Its deviation is that of the guided clip, so that no frame is that of a constant scale."""
  rng = np.random.default_rng(0)
  c, u = (jnp.asarray(rng.uniform(-1, 1, (2, 4, 3)), jnp.float32) for _ in range(2))
  scales, t = jnp.linspace(1.0, 4.0, 4)[:, None], jnp.full((2, 4), 0.5)
  guided = u + scales * (c - u)
  want = guided * (np.std(c, (1, 2)) / np.std(guided, (1, 2)))[:, None, None]
  np.testing.assert_allclose(Rescaled(rescale=1.0)(c, u, scales, c, t), want, rtol=1e-5)


def test_plain_weights_are_exact():
  x = jnp.zeros((1, 3, 1))
  halves = {"a": jnp.concatenate([x + 1, x])}  # u + scale (c - u) is the scale itself.
  out = classifier_free(lambda *_: halves, jnp.asarray([1.0, 2.0, 3.0]))
  got = out({"a": x}, jnp.full((1, 3), 0.5), Context(text=jnp.ones((1, 2), jnp.int32)))["a"]
  np.testing.assert_array_equal(got[0, :, 0], [1.0, 2.0, 3.0])


def test_parts_of_a_ramp():
  guidance = guidance_of(Sampling(guidance_ramp=(0.0, 4.0)), 5)
  np.testing.assert_array_equal(guidance.part(2, 2).scale, [2, 3])
  np.testing.assert_array_equal(guidance.part(4, 2).scale, [4, 4])  # A chunk that is cut at the end.
  assert guidance_of(Sampling(), 5).part(2, 2).scale == 2.5


@pytest.mark.parametrize("changes", [{}, CAUSAL, WINDOWS], ids=["all_frames", "causal", "windows"])
def test_samplers_apply_the_ramp(changes):
  model = drawn(micro.config(**changes))
  how = {"how": "windows"} if "first__share" in changes else {}

  def clip(**settings):
    return model.sample(["a red seven moves left"], [0], steps=3, interval=(0.0, 1.0), **how, **settings)

  flat = clip(guidance=3.0)
  for name, x in clip(guidance_ramp=(3.0, 3.0)).items():
    np.testing.assert_allclose(x, flat[name], atol=1e-5)
  rising = clip(guidance_ramp=(3.0, 3.0, 9.0))["sight"]
  assert np.abs(rising[:, -1] - flat["sight"][:, -1]).max() > 1e-3
  if changes is CAUSAL:  # The first frames are made before the others, with the scale of the flat clip.
    np.testing.assert_allclose(rising[:, :2], flat["sight"][:, :2], atol=1e-5)
