"""A cut of the scene replaces a sink within two chunks, and a still source replaces none.

Test B7 of StreamDiffusionV2 (arXiv 2511.07399), with the packaged causal model, two sinks, video-to-video in
two steps, with noise of .4 times the levels. A source shows the first frame of one real clip for 24 chunks;
another one cuts to the first frame of a clip of another digit and colour after 16. Value: the number of
sinks, over all blocks, levels and senses, that are replaced within two chunks of the cut. Bar: 1. In the
still source, `replaced_when_still`, none may be. Fakes: a threshold of -1, `never`, replaces none after the
cut, and one of .999, `always`, replaces some in the still source. `with_most_noise` is the value with the
noise of the controller for still sources (.8), in which mean keys and values hardly tell two scenes apart.
"""

CHUNKS, CUT, SINKS, STEPS, NOISE, THRESHOLD = 24, 16, 2, 2, 0.4, 0.4


def measure(seed: int) -> dict:
  cut, still = _replaced(seed, THRESHOLD)
  never, always = _replaced(seed, -1.0)[0], _replaced(seed, 0.999)[1]
  return {
    "value": cut,
    "bar": 1,
    "holds": cut >= 1 and still == never == 0 < always,
    "replaced_when_still": still,
    "never": never,
    "always": always,
    "with_most_noise": _replaced(seed, THRESHOLD, 0.8)[0],
    "threshold": THRESHOLD,
  }


def _replaced(seed: int, threshold: float, noise: float = NOISE) -> tuple[int, int]:
  """(sinks replaced within two chunks of the cut, sinks replaced in a still source)."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._stream import encoded, engine, levels_of, run
  from stale_jax.pipeline import load

  model = load("causal")
  examples = [model.source[i] for i in range(seed, seed + 40)]
  names = [sense.name for sense in model.system.data.senses]
  first = examples[0]
  other = next(e for e in examples if not set(e["caption"].split()[1:3]) & set(first["caption"].split()[1:3]))
  stream = engine(model, levels_of(model, STEPS), sinks=SINKS, refresh=threshold)
  context, full = encoded(model, [first["caption"]] * 2), model.frames
  sinks, counts = [], np.zeros((CHUNKS, 2), int)

  def source(number):
    shown = first, other if number >= CUT else first
    return {n: jnp.asarray(np.stack([e["clip"][n][:1] for e in shown]), jnp.float32) for n in names}

  def watch(_, state):
    blocks = jax.tree.map(lambda x: np.asarray(x[:, :SINKS]), state.cache.keys)
    sinks.append([x.reshape(-1, 2, *x.shape[1:]) for x in jax.tree.leaves(blocks)])
    return state

  given = {"sources": [source(number) for number in range(CHUNKS)], "scale": noise, "each_tick": watch}
  run(model, stream, [(True, True)] * CHUNKS, context, [seed, seed], **given)
  for number in range(full + STEPS, CHUNKS - 1):
    for before, after in zip(sinks[number], sinks[number + 1], strict=True):
      # [levels, streams, sinks, ...]: a sink is replaced if its keys differ.
      changed = (before != after).any((3, 4, 5))
      counts[number] += changed.sum((0, 2))
  return int(counts[CUT : CUT + 2, 1].sum()), int(counts[:, 0].sum())
