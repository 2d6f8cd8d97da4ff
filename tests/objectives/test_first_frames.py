"""First frames that are given: which, when, what the network is told, and what counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Batch, Context
from stale_jax.errors import UserError
from stale_jax.objectives import Denoising, FirstFrames, hold, predict
from stale_jax.processes import UniformFlow, build_time_sampler

SIZE, FRAMES = 400, 6


@pytest.fixture(scope="module")
def batch():
  clip = {"sight": jnp.zeros((SIZE, FRAMES, 2, 2, 3)), "sound": jnp.zeros((SIZE, FRAMES, 4))}
  valid = {"sound": jnp.ones((SIZE, FRAMES), bool).at[0].set(False)}
  context = Context(text=jnp.ones((SIZE, 8), jnp.int32), valid=valid)
  return Batch(clip=clip, context=context, index=jnp.arange(SIZE))


def test_nothing_is_given_unless_it_is_asked_for(batch):
  conditioning, shown, judged = FirstFrames().condition(batch, jax.random.key(0))
  assert conditioning is None and shown is batch and judged is batch


def test_a_share_is_given_and_half_of_it_without_the_other_senses(batch):
  first = FirstFrames(share=0.5, frames=2, noise=0.2)
  (given, when), shown, judged = first.condition(batch, jax.random.key(0))
  which = np.asarray(given[:, 0])
  np.testing.assert_array_equal(given, which[:, None] & (np.arange(FRAMES) < 2))
  assert abs(which.mean() - 0.5) < 4 * 0.5 / np.sqrt(SIZE)
  assert 0 <= when.min() and when.max() <= 0.2 and np.std(when[:, 0]) > 0.04
  assert np.asarray(shown.context.valid["sight"]).all()
  hidden = ~np.asarray(shown.context.valid["sound"])[1:]
  assert not (hidden & ~np.asarray(given)[1:]).any()
  share = hidden[:, 0].sum() / which[1:].sum()
  assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(which.sum())
  for name in batch.clip:
    counted = np.asarray(judged.context.valid[name])
    assert not (counted & np.asarray(given)).any() and counted[1:, 2:].all()
  # What was not real before is not made so.
  assert not shown.context.valid["sound"][0].any() and not judged.context.valid["sound"][0].any()


def test_they_are_at_their_own_times_and_no_loss(batch):
  process, time_sampler = UniformFlow(), build_time_sampler({"name": "uniform"})
  conditioning, shown, judged = FirstFrames(share=1.0, noise=0.1).condition(batch, jax.random.key(0))
  seen = {}

  def denoiser(clip, t, context):
    seen.update(t=t, clip=clip, context=context)
    return {
      name: jnp.where(t.reshape(*t.shape, *[1] * (x.ndim - 2)) < 0.1, 1e3, 0.0) for name, x in clip.items()
    }

  prediction = predict(denoiser, process, time_sampler, shown, jax.random.key(1), conditioning=conditioning)
  np.testing.assert_array_equal(seen["t"][:, 0], conditioning.times[:, 0])
  assert (seen["t"][:, 1:] == seen["t"][:, 1:2]).all() and not (seen["t"][:, 0] == seen["t"][:, 1]).any()
  assert np.abs(seen["clip"]["sight"][:, 0]).max() <= 0.1
  plain = predict(denoiser, process, time_sampler, batch, jax.random.key(1))
  np.testing.assert_array_equal(prediction.t[:, 1:], plain.t[:, 1:])
  # The network is wrong by far at given frames only, but for the few others that are as clean.
  late = np.asarray(prediction.t[:, 1]) >= 0.1
  some = judged.replace(
    context=judged.context.replace(
      valid={name: v & late[:, None] for name, v in judged.context.valid.items()}
    )
  )
  assert float(Denoising(process=process)(prediction, some)["loss"]) < 10
  assert float(Denoising(process=process)(prediction, batch)["loss"]) > 1e4


def test_sampling_holds_them():
  x = {"sight": jnp.ones((2, 4, 2, 2, 3)), "sound": jnp.ones((2, 4, 5))}
  first = {"sight": jnp.full((2, 1, 2, 2, 3), 0.3)}
  times = jnp.broadcast_to(jnp.linspace(1, 0, 5)[:, None, None], (5, 2, 4))
  x, times, context = hold(x, first, times, Context(text=jnp.ones((2, 8), jnp.int32)))
  np.testing.assert_array_equal(x["sight"][:, :1], first["sight"])
  assert (x["sound"][:, 0] == -1).all() and (x["sight"][:, 1:] == 1).all()
  assert (times[:, :, 0] == 0).all() and (times[0, :, 1:] == 1).all()
  assert "sight" not in context.valid
  np.testing.assert_array_equal(context.valid["sound"], [[False, True, True, True]] * 2)


@pytest.mark.parametrize("given", [{"share": 2.0}, {"noise": -0.1}, {"frames": 0}])
def test_misuse(given):
  with pytest.raises(UserError, match="first"):
    FirstFrames(**given)
