"""Consistent self-attention is plain attention at rate 0, to the bit, and joint attention at rate 1.

The rate is the share of the other panels' tokens that a panel attends to (`sampling/story.py`). Value: the
greatest difference at rate 1, over all senses of four panels at one time, between the outputs of the shipped
model and those of the same network in float64 with joint attention over all panels' tokens. Bar: 1e-5. At
rate 0, the clips of whole stories of four panels must be bit-identical to the same clips sampled
independently.
"""

PROMPTS = ("a red seven moves left quickly", "a blue two moves up slowly", "a cyan one moves down slowly", "")


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.pipeline import load
  from stale_jax.sampling import prior
  from stale_jax.sampling.story import Story, consistent
  from stale_jax.testing.joint_attention import Joint
  from stale_jax.text import tokenize

  model = load("digits")
  experiment, panels = model.system, len(PROMPTS)
  seeds = [seed + i for i in range(panels)]
  plain = model.sample(PROMPTS, seeds, batch=panels, steps=4)
  none = model.sample(PROMPTS, seeds, story=Story(rate=0.0), steps=4)
  bits = all(np.array_equal(plain[name], none[name]) for name in plain)

  clip = prior(
    experiment.diffusion.process,
    experiment.data.senses,
    model.frames,
    jax.vmap(jax.random.key)(jnp.arange(panels)),
  )
  t = jnp.full((panels, model.frames), 0.6)
  context = Context(text=jnp.asarray(tokenize(PROMPTS, experiment.network.text_length)))

  def network(*given, more_keys=None):
    return experiment.network.apply(model.params, *given, more_keys=more_keys)

  seen = consistent(network, Story(rate=1.0, plain=0), t[None], jax.random.key(seed))
  ours = jax.device_get(jax.jit(seen)(clip, t, context))
  with jax.enable_x64(True):
    wide = experiment.network.clone(dtype="float64")
    params, x, times = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (model.params, clip, t))
    want = jax.device_get(jax.jit(lambda p: wide.apply(p, x, times, context, more_keys=Joint()))(params))
  value = max(float(np.abs(ours[name] - want[name]).max()) for name in want)
  heard = float(
    np.abs(ours["sight"] - jax.device_get(network(clip, t, context, more_keys=None)["sight"])).max()
  )
  return {
    "value": value,
    "bar": 1e-5,
    "holds": bits and value <= 1e-5 and heard > 0.1,
    "bit_equal_at_rate_0": bits,
    "changed_by_rate_1": heard,
  }
