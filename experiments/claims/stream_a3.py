"""Residual guidance moves a frame in the direction in which classifier-free guidance moves it.

Test A3 of StreamDiffusion (arXiv 2312.12491), with the packaged causal model in four steps, video-to-video:
real clips are turned into what the captions of other clips say. Streams with the same noise are made without
guidance, with classifier-free guidance, and with residual guidance whose anchor is one negative evaluation
("once") or the source ("self"). Value: the correlation, over the sight of all frames, of (once - none) with
(classifier-free - none). Bar: .5; it must also exceed that of "self" by at least .15. The correlation of
outputs themselves is a trap: `unguided` is that of no guidance with classifier-free guidance. The fake,
`shuffled`, gives each stream the move of another one, and must stay below .5.
"""

STREAMS, CHUNKS, STEPS, GUIDANCE, NOISE = 8, 12, 4, 2.0, 0.9


def measure(seed: int) -> dict:
  return directions(seed, own_captions=False)


def directions(seed: int, own_captions: bool) -> dict:
  """The result of the claim; `own_captions` gives the clips their own captions instead of those of others."""
  import dataclasses

  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._stream import encoded, engine, levels_of, run
  from stale_jax.pipeline import load

  model = load("causal")
  source = dataclasses.replace(model.source, split="test", frames=CHUNKS, seed=seed)
  examples = [source[i] for i in range(2 * STREAMS)]
  told = examples[:STREAMS] if own_captions else examples[STREAMS:]
  context = encoded(model, [example["caption"] for example in told])
  names = [sense.name for sense in model.system.data.senses]
  clips = {name: np.stack([example["clip"][name] for example in examples[:STREAMS]]) for name in names}
  ticks = CHUNKS + STEPS - 1
  sources = [
    {name: jnp.asarray(x[:, [min(tick, CHUNKS - 1)]], jnp.float32) for name, x in clips.items()}
    for tick in range(ticks)
  ]
  schedule = [[tick < CHUNKS] * STREAMS for tick in range(ticks)]
  kinds = {"none": None, "always": "always", "once": "once", "self": "never"}
  made = {}
  for kind, negative in kinds.items():
    stream = engine(model, levels_of(model, STEPS), negative=negative)
    given = {"guidance": GUIDANCE, "sources": sources, "scale": NOISE}
    chunks = run(model, stream, schedule, context, range(seed, seed + STREAMS), **given)[0]
    made[kind] = np.stack([[each[number]["sight"] for number in range(CHUNKS)] for each in chunks])

  def correlation(a, b) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

  moves = {kind: x - made["none"] for kind, x in made.items()}
  once, own = (correlation(moves[kind], moves["always"]) for kind in ("once", "self"))
  shuffled = correlation(np.roll(moves["once"], 1, 0), moves["always"])
  return {
    "value": once,
    "bar": 0.5,
    "holds": once >= 0.5 and once >= own + 0.15 and shuffled < 0.5,
    "self": own,
    "shuffled": shuffled,
    "unguided": correlation(made["none"], made["always"]),
    "guidance": GUIDANCE,
    "steps": STEPS,
    "noise": NOISE,
  }
