"""A network without some of its blocks, and skip-layer guidance with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.processes import UniformFlow, UniformTokens
from stale_jax.sampling import Sampling
from stale_jax.sampling.guiding import guided, guiding_of
from tests.models import small

PUSHED = Sampling(guidance=3.0, skip_layers=(1,), skip_scale=2.0, skip_interval=(0.5, 0.8))


@pytest.mark.parametrize("fields", [{}, {"scan": True}, {"turns": 2}, {"forms": "dense"}], ids=str)
def test_skipping_a_block_is_removing_its_parameters(fields):
  whole, short = small.model(depth=3, **fields), small.model(depth=2, **fields)
  params = small.params(whole)
  blocks = jax.tree.map(lambda x: x[np.array([0, 2])], params["params"]["blocks"])
  want = small.apply(short, {"params": {**params["params"], "blocks": blocks}}, *small.inputs())
  small.close(small.apply(whole.clone(skip=(1,)), params, *small.inputs()), want)
  assert small.differ(small.apply(whole, params, *small.inputs()), want, 1e-3)


def test_merging_skips_other_blocks_than_the_first():
  model = small.model(depth=3, turns=1, merge=True)
  params = small.params(model)
  skipped, whole = (small.apply(m, params, *small.inputs()) for m in (model.clone(skip=(1,)), model))
  assert small.differ(skipped, whole, 1e-3)
  with pytest.raises(UserError, match="blocks 1 to 2"):
    model.clone(skip=(0,)).check_skip()


def test_frames_in_the_interval_are_pushed_from_the_output_without_the_layer():
  model = small.model(depth=3)
  params, (clip, _, context) = small.params(model), small.inputs()
  t = jnp.tile(jnp.linspace(0.1, 0.9, small.FRAMES), (small.BATCH, 1))
  everyone = jnp.ones(small.BATCH, bool)

  def denoiser_of(network):
    return functools.partial(network.apply, params)

  guiding = guiding_of(PUSHED, UniformFlow(), model)
  got = guided(guiding, model, denoiser_of, PUSHED.guidance, PUSHED.interval)(clip, t, context)
  c = small.apply(model, params, clip, t, context)
  u = small.apply(model, params, clip, t, context.drop_condition(everyone))
  skipped = small.apply(model.clone(skip=(1,)), params, clip, t, context)
  inside = (t >= 0.5) & (t <= 0.8)
  assert inside.any() and not inside.all()

  def want(name):
    pushes = inside.reshape(*t.shape, *(1,) * (c[name].ndim - 2))
    return u[name] + 3 * (c[name] - u[name]) + jnp.where(pushes, 2 * (c[name] - skipped[name]), 0)

  small.close(got, {name: want(name) for name in c}, 1e-4)


def test_outside_the_interval_the_layer_is_not_skipped_in_vain():
  model = small.model(depth=3)
  params, (clip, _, context), calls = small.params(model), small.inputs(), []

  def denoiser_of(network):
    def denoiser(clip, t, context):
      jax.debug.callback(lambda: calls.append(network.skip))
      return small.apply(network, params, clip, t, context)

    return denoiser

  guiding = guiding_of(PUSHED, UniformFlow(), model)
  denoiser = jax.jit(guided(guiding, model, denoiser_of, PUSHED.guidance, PUSHED.interval))
  for time, evaluated in ((0.9, [()]), (0.6, [(), (1,)])):
    calls.clear()
    jax.block_until_ready(denoiser(clip, jnp.full((small.BATCH, small.FRAMES), time), context))
    jax.effects_barrier()
    assert sorted(calls) == evaluated


@pytest.mark.parametrize("layers", [(3,), (0, 1, 2)])
def test_layers_that_cannot_be_skipped_are_refused(layers):
  settings = Sampling(skip_layers=layers)
  with pytest.raises(UserError, match="blocks 0 to 2, not all"):
    guiding_of(settings, UniformFlow(), small.model(depth=3))


def test_settings_that_exclude_one_another_are_refused():
  with pytest.raises(UserError, match="sampling.guidance must not be 1"):
    Sampling(guidance=1.0, skip_layers=(1,))
  with pytest.raises(UserError, match="sampling.skip_interval=\\(0.9, 0.1\\)"):
    Sampling(skip_interval=(0.9, 0.1))
  with pytest.raises(UserError, match="zero_steps=5 leaves no step"):
    Sampling(steps=5, zero_steps=5)
  for kind in ("rescaled", "apg", "cfg_zero"):
    with pytest.raises(UserError, match=f"'{kind}' does not fit UniformTokens: use 'cfg'"):
      guiding_of(Sampling(guidance_kind=kind), UniformTokens(), small.model())
