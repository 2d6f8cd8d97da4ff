"""A tile limits the memory of a story: at 32 panels it is at most 1.1 times that at 8.

A tile is a group of panels that are denoised together (`sampling/story.py`); here it has four. The guided
sampler of the model of digits that makes all frames of a clip together is compiled. The memory is that of the
compiler's temporary buffers, which hold all tokens, keys and values. It excludes the weights, which would
hide the growth, and one clip per panel, which every sampler holds; `with_the_clips` is the ratio if clips are
included. Value: the memory at 32 panels divided by that at 8. Bar: 1.1.
"""

PANELS, TILE = (8, 32), 4


def measure(seed: int) -> dict:
  import math

  import jax
  import jax.numpy as jnp

  from stale_jax.clip import Context
  from stale_jax.compilation import compiled
  from stale_jax.pipeline import load
  from stale_jax.sampling.guiding import guidance_of
  from stale_jax.sampling.samplers import ClipProgram, clip_program
  from stale_jax.sampling.story import Story

  model = load("digits")
  experiment = model.system

  def temporaries(panels: int) -> int:
    settings = model.settings(batch=panels)
    parts = experiment.network, experiment.diffusion.process, experiment.data.senses
    program = clip_program(*parts, settings, Story(tile=TILE))
    keys = jax.vmap(jax.random.key)(jnp.arange(panels))
    text = jnp.zeros((panels, experiment.network.text_length), jnp.int32)
    given = (
      Context(text=text),
      keys,
      settings.times(model.frames, model.system.data.senses),
      guidance_of(settings, model.frames),
    )
    made = compiled(ClipProgram.run).lower(program, model.params, *given).compile()
    return made.memory_analysis().temp_size_in_bytes

  clip = 4 * model.frames * sum(math.prod(sense.shape) for sense in experiment.data.senses)
  whole = {panels: temporaries(panels) for panels in PANELS}
  each = {panels: size - panels * clip for panels, size in whole.items()}
  value = each[PANELS[1]] / each[PANELS[0]]
  return {
    "value": value,
    "bar": 1.1,
    "holds": value <= 1.1,
    "mib": {panels: size / 2**20 for panels, size in whole.items()},
    "with_the_clips": whole[PANELS[1]] / whole[PANELS[0]],
    "kib_of_a_panel": (whole[PANELS[1]] - whole[PANELS[0]]) / (PANELS[1] - PANELS[0]) / 1024,
    "kib_of_a_clip": clip / 1024,
  }
