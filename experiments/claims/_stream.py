"""Stream batches for claims: of a small random model, and of the packaged causal one."""

PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]


def engine(model, levels, **options):
  """The stream batch of a model at these times; `options` are those of `stream_batch`."""
  from stale_jax.sampling.stream.batch import stream_batch

  system = model.system
  options = {"chunk": 1, "window": model.frames, **options}
  return stream_batch(
    system.network, system.diffusion.process, system.data.senses, levels=tuple(levels), **options
  )


def levels_of(model, steps: int) -> tuple[float, ...]:
  """The times at which the model's sampler would take this number of steps."""
  import numpy as np

  times = model.settings(steps=steps, solver="consistency").times(1, model.system.data.senses)
  return tuple(np.asarray(times)[:-1, 0, 0].tolist())


def keys_of(seeds):
  """One PRNG key per seed."""
  import jax
  import jax.numpy as jnp

  return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))


def encoded(model, prompts):
  """The context of encoded captions."""
  import jax
  import jax.numpy as jnp

  from stale_jax.clip import Context
  from stale_jax.text import tokenize

  network = model.system.network
  context = Context(text=jnp.asarray(tokenize(prompts, network.text_length)))
  return jax.jit(network.encode_captions)(model.params, context)


def entering(context, which=None, source=None, scale: float = 1.0):
  """New chunks for the streams in `which`; None: all."""
  import jax.numpy as jnp

  from stale_jax.sampling.stream.batch import Entering

  count = len(context.text)
  which = jnp.ones(count, bool) if which is None else jnp.asarray(which)
  return Entering(
    which=which,
    begins=jnp.zeros(count, bool),
    context=context,
    source=source,
    scale=jnp.full(count, scale, jnp.float32),
  )


def run(model, stream, schedule, context, seeds, *, guidance=1.0, sources=None, scale=1.0, each_tick=None):
  """Ticks through a schedule.

  Args:
    model, stream: the model and its stream batch.
    schedule: for each tick, which streams take a chunk.
    context: encoded captions.
    seeds: one per stream.
    guidance: scale of guidance.
    sources: for each tick, the source of video-to-video; None: text-to-video.
    scale: factor on the times of the levels.
    each_tick: (number of the tick, state) -> state, applied before each tick; None: nothing.

  Returns:
    (for each stream, number of the chunk -> sense -> array; the last state).
  """
  import jax
  import jax.numpy as jnp

  from stale_jax.sampling.stream.batch import ticking

  state, made = stream.start(model.params, context, keys_of(seeds)), [{} for _ in seeds]
  for number, which in enumerate(schedule):
    new = entering(context, which, None if sources is None else sources[number], scale)
    state = state if each_tick is None else each_tick(number, state)
    state, emitted = ticking()(stream, model.params, state, new, jnp.float32(guidance))
    emitted = jax.device_get(emitted)
    for row, chunk in enumerate(emitted.number):
      if chunk >= 0:
        made[row][int(chunk)] = {name: x[row] for name, x in emitted.clip.items()}
  return made, state


def greatest(a, b) -> float:
  """The greatest difference between the chunks of two streams."""
  import numpy as np

  return max(float(np.abs(a[number][name] - b[number][name]).max()) for number in a for name in a[number])


def ticker(model, stream, prompts, guidance: float = 1.0):
  """A function without arguments that ticks a text-to-video stream once, to its end, with its state."""
  import jax
  import jax.numpy as jnp

  from stale_jax.sampling.stream.batch import ticking

  context = encoded(model, prompts)
  holder = [stream.start(model.params, context, keys_of(range(len(prompts))))]
  new, scale = entering(context), jnp.float32(guidance)

  def tick():
    holder[0], emitted = ticking()(stream, model.params, holder[0], new, scale)
    return jax.block_until_ready(emitted)

  return tick
