"""Reflow: the pairs, the points on the lines between them, and a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.sampling import solve
from stale_jax.testing.models import moved
from stale_jax.training.initial import init_params
from tests import micro


def experiment(**overrides):
  fields = {"training__init_from": "causal", "reflow": {"teacher_steps": 3, "updates": 2}, **overrides}
  return build(micro.config(training__batch=4, **fields))


@pytest.fixture(scope="module")
def stepping():
  """The step, its experiment, the teacher's parameters and a batch."""
  chosen = experiment()
  teacher = moved(init_params(chosen, jax.random.key(0)))
  source = chosen.data.source
  batch = collate([source[i] for i in range(4)], chosen.data.senses, chosen.network.text_length)
  return chosen.training.step.build(chosen), chosen, teacher, batch


def test_pairs_are_those_of_the_teachers_ode(stepping):
  step, chosen, teacher, batch = stepping
  context = Context(text=jnp.asarray(batch.context.text))
  noise, clip = step.pairs(teacher, context, jax.random.key(3))

  def denoiser(clip, t, context):
    return chosen.network.apply(teacher, clip, t, context)

  process, keys = chosen.diffusion.process, jax.random.split(jax.random.key(9), 4)
  want = solve(process, denoiser, noise, step.times, context, keys, "euler")
  for name, x in want.items():
    np.testing.assert_allclose(clip[name], x, atol=1e-5)
    assert np.abs(noise[name]).max() <= 1 and np.std(noise[name]) == pytest.approx(3**-0.5, abs=0.05)


def test_points_lie_on_the_lines_between_the_pairs(stepping):
  step, chosen, teacher, batch = stepping
  noise = {
    name: jnp.asarray(np.random.default_rng(0).uniform(-1, 1, x.shape), jnp.float32)
    for name, x in batch.clip.items()
  }
  clip = {name: jnp.asarray(-x / 2) for name, x in noise.items()}
  prediction = step.predict(teacher, noise, batch.replace(clip=clip), jax.random.key(1))
  for name, corruption in prediction.corruption.items():
    t = np.asarray(prediction.t).reshape(prediction.t.shape + (1,) * (clip[name].ndim - 2))
    np.testing.assert_allclose(corruption.x_t, (1 - t) * clip[name] + t * noise[name], atol=1e-6)
    np.testing.assert_array_equal(corruption.target, clip[name])
  assert (prediction.t == prediction.t[:, :1]).all()


def test_a_step_changes_the_student_alone(stepping):
  step, _, teacher, batch = stepping
  state = step.begin_from(step.init(jax.random.key(0)), teacher)
  new, metrics = jax.jit(step.step)(state, batch.replace(clip={}))
  assert new.step == 1 and new.skipped.total == 0 and np.isfinite(metrics["loss"])
  same = jax.tree.map(lambda a, b: bool((a == b).all()), new.extra, teacher)
  assert jax.tree.all(same)
  assert not jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), new.params, teacher))


def test_errors():
  with pytest.raises(UserError, match="set training.init_from"):
    experiment(training__init_from="")
  with pytest.raises(UserError, match=r"does not support cringe, artv, first.share"):
    experiment(first__share=0.5)
  with pytest.raises(UserError, match="process.name='uniform_flow'"):
    experiment(process={"name": "reflected"})
