"""Attention by kernels: groups of queries, models and stories as with dense attention, programs for GPUs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.models.attention import attend
from stale_jax.models.kernel_attention import groups
from stale_jax.models.visibility import TEXT, Rule, known, stream_tokens
from stale_jax.planning.cudnn import pretend_cudnn
from stale_jax.sampling.story import see
from tests.models import small


def clip_tokens(frames, places, batch=2, independent=None):
  text_real = jnp.ones((batch, 1, 16), bool).at[0, 0, 5:].set(False)
  return {
    "text": stream_tokens(text_real, TEXT, independent_senses=independent),
    "sight": stream_tokens(np.ones((batch, frames, places), bool), 1, np.arange(frames), independent),
    "sound": stream_tokens(np.ones((batch, frames, 1), bool), 2, np.arange(frames), independent),
  }


def test_queries_that_see_the_same_keys_are_one_call():
  of = known(clip_tokens(5, 4))
  (every,) = groups(Rule(), of, of)
  assert len(every.queries) == 16 + 25
  # Only the padding of the text is unknown while tracing.
  np.testing.assert_array_equal(every.always, 16 + np.arange(25))
  np.testing.assert_array_equal(every.sometimes, np.arange(16))

  text, *frames = groups(Rule(causal=True), of, of)
  assert len(frames) == 5 and not len(text.always)
  for number, group in enumerate(frames):
    assert len(group.queries) == 5 and len(group.always) == 5 * (number + 1)

  of = known(clip_tokens(5, 4, independent=jnp.array([True, False])))
  text, sight, sound = groups(Rule(), of, of)
  assert [len(group.always) for group in (text, sight, sound)] == [0, 20, 5]
  assert [len(group.sometimes) for group in (text, sight, sound)] == [41, 21, 36]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("attention", ["splash", "unfused"])
def test_a_model_has_the_same_outputs_and_gradients(attention, causal):
  clip, t, context = small.inputs()
  context = context.replace(
    valid={
      "sight": jnp.ones((2, 8), bool).at[0, 5:].set(False),
      "touch": jnp.array([[True] * 8, [False] * 8]),
    },
    independent_senses=jnp.array([True, False]),
  )
  plain = small.model(causal=causal, token_drop=0.3)
  params = small.params(plain)

  def loss(params, model):
    out = model.apply(params, clip, t, context, rngs={"perturb": jax.random.key(0)})
    return sum(jnp.sum(jnp.sin(x)) for x in out.values()), out

  (grads, out), (other_grads, other) = (
    jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(params, model)
    for model in (plain, plain.clone(attention=attention))
  )
  small.close(out, other)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4 * max(1, np.abs(a).max())), grads, other_grads
  )


@pytest.mark.parametrize("attention", ["splash", "unfused"])
def test_a_story_has_the_same_outputs(attention):
  clip, t, context = small.inputs()
  plain = small.model(causal=True)
  params = small.params(plain)
  more_keys = functools.partial(see, jax.random.key(1), 0.5, 2, jnp.array(True))

  def run(model, more_keys):
    return jax.jit(lambda: model.apply(params, clip, t, context, more_keys=more_keys))()

  want = run(plain, more_keys)
  small.close(run(plain.clone(attention=attention), more_keys), want)
  assert small.differ(run(plain, None), want, 1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("causal", [False, True])
def test_programs_for_cudnn_are_lowered(causal, dtype):
  tokens = clip_tokens(4, 256, 1)
  shapes = {name: jax.ShapeDtypeStruct((*of.real.shape, 4, 64), dtype) for name, of in tokens.items()}

  def loss(q, k, v):
    return sum(
      x.astype(jnp.float32).sum() for x in attend(q, k, v, tokens, "cudnn", Rule(causal=causal)).values()
    )

  with pretend_cudnn():
    lowered = (
      jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
      .trace(shapes, shapes, shapes)
      .lower(lowering_platforms=("cuda",))
    )
  text = lowered.as_text()
  # One call forward and one backward: for all queries, or for the text and each frame.
  calls = 1 + 4 if causal else 1
  assert text.count("call @__cudnn$fmhaSoftmaxBackward(") == calls
  assert text.count("call @__cudnn$fmhaSoftmax(") == calls
