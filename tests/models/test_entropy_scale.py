"""Attention scaled to the number of tokens: the same bits at the size of training, the formula at others."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.models.attention import concat_streams
from stale_jax.models.entropy import key_scale, scaled_along, scaled_keys
from stale_jax.sizes import sized
from stale_jax.testing.models import drawn
from tests import micro
from tests.models import small

TRAINED = {"sight": (4, 9), "touch": (4, 1)}  # Of 8 frames in tokens of two frames.


def test_the_scale_is_the_root_of_the_quotient_of_logarithms():
  for now, trained in ((640, 160), (40, 160), (75_600, 32_760), (2, 3)):
    assert key_scale(now, trained) == pytest.approx(math.sqrt(math.log(now, trained)), abs=1e-9)
  assert key_scale(160, 160) == 1 and key_scale(1, 2) == 1


def keys(**shapes):
  return {name: jnp.ones((2, *shape, 2, 8)) for name, shape in shapes.items()}


def test_joint_attention_counts_the_tokens_of_the_senses_and_leaves_the_caption():
  same = keys(text=(1, 6), sight=(4, 9), touch=(4, 1))
  assert scaled_keys(same, TRAINED) is same
  some = scaled_keys(keys(text=(1, 6), sight=(4, 36), touch=(4, 1)), TRAINED)
  want = math.sqrt(math.log(148) / math.log(40))
  np.testing.assert_allclose(some["sight"], want, rtol=1e-6)
  np.testing.assert_allclose(some["touch"], want, rtol=1e-6)
  assert (some["text"] == 1).all()
  alone = scaled_keys(keys(text=(1, 6), sight=(4, 36)), TRAINED)
  np.testing.assert_allclose(alone["sight"], math.sqrt(math.log(144) / math.log(36)), rtol=1e-6)


def test_two_forms_count_along_their_axes():
  wide, long = (keys(text=(1, 6), sight=shape, touch=(shape[0], 1)) for shape in ((4, 36), (8, 9)))
  along_time, along_space = ((("sight",), 2), (("sight", "touch"), 1))
  assert scaled_along(wide, TRAINED, *along_time) is wide  # A place sees itself in 4 time steps, and touch.
  want = math.sqrt(math.log(16) / math.log(8))
  np.testing.assert_allclose(scaled_along(long, TRAINED, *along_time)["sight"], want, rtol=1e-6)
  assert scaled_along(long, TRAINED, *along_space) is long
  scaled = scaled_along(wide, TRAINED, *along_space)
  np.testing.assert_allclose(scaled["sight"], math.sqrt(math.log(37) / math.log(10)), rtol=1e-6)
  assert (scaled["text"] == 1).all()


@pytest.mark.parametrize("fields", [{}, {"forms": "dense"}, {"causal": True}], ids=str)
def test_the_network_is_the_same_at_the_size_of_training_alone(fields):
  plain, scaled = small.model(**fields), small.model(**fields, trained_frames=small.FRAMES)
  params, (clip, t, context) = small.params(plain), small.inputs()
  one, other = (small.apply(model, params, clip, t, context) for model in (plain, scaled))
  assert all((one[name] == other[name]).all() for name in one)
  wide = {**clip, "sight": jnp.tile(clip["sight"], (1, 1, 2, 2, 1))}
  one, other = (small.apply(model, params, wide, t, context) for model in (plain, scaled))
  assert small.differ(one, other, 1e-4)


def test_scaled_keys_are_scaled_logits():
  """softmax(q (s k)) is the paper's attention with the scale s / sqrt(d)."""
  rng = np.random.default_rng(0)
  q = jnp.asarray(rng.normal(size=(1, 5, 2, 8)))
  k = {"sight": jnp.asarray(rng.normal(size=(1, 4, 36, 2, 8)))}
  scaled = concat_streams(scaled_keys(k, {"sight": (4, 9)}))
  got = jnp.einsum("bqhd,bkhd->bhqk", q, scaled) / math.sqrt(8)
  want = jnp.einsum("bqhd,bkhd->bhqk", q, concat_streams(k)) * math.sqrt(math.log(144, 36) / 8)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.system
def test_a_sized_model_makes_clips_of_its_size():
  model = drawn(micro.config())
  wide = sized(model, 16, 20)
  prompts, seeds = ["a red seven moves left quickly"], [3]
  clip = wide.sample(prompts, seeds, steps=2)
  assert clip["sight"].shape == (1, 4, 16, 20, 3) and clip["touch"].shape == (1, 4, 4)
  plain = sized(model, 16, 20, scale_attention=False).sample(prompts, seeds, steps=2)
  assert np.abs(clip["sight"] - plain["sight"]).max() > 1e-5
  settings = wide.system.diffusion.sampling
  assert settings.shift_kind == "sd3" and settings.shift_tokens == model.system.data.tokens
  same = sized(model, 12, 12).sample(prompts, seeds, steps=2)
  assert (same["sight"] == model.sample(prompts, seeds, steps=2)["sight"]).all()
  movie = wide.generate(prompts[0], 3, steps=2)
  assert movie.how["height"] == 16 and {s.name: s for s in movie.senses}["sight"].shape == (16, 20, 3)
  with pytest.raises(UserError, match="height=14 must be a multiple of 4"):
    sized(model, 14)
