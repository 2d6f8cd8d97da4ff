"""Scaled attention keeps the entropy of trained layers closer to that of training (half the predicted gain).

Attention-entropy scaling (arXiv 2306.08645; `models.entropy`) in the model of digits. Queries of sight in the
last frame of 16 real test clips, noised to t = .9, .7 and .5, attend to T = 160 keys of the senses; to N = 4T
keys, those of four clips; and to N = T / 4 keys, a random quarter. So the keys are of the same kind and at
the positions of training, and only their number changes. With H the entropy of the attention, averaged over
queries and heads, the ratio |H_scaled - H_T| / |H_N - H_T| of each layer must be at most
1 - min(v, 4) / (4 ln T), where v is the variance of the logits at N = T. Value: the largest quotient of ratio
and bound over four layers and both N; bar 1.

Also needed: attention without scaling fails this bar; at N = T the network returns the same bits; the scale
is sqrt(log N / log T) to 1e-6, which sqrt(N / T) is not. Reported without a bar: the same ratios if the
network runs on clips of 32 x 32 instead of 16 x 16 pixels, where positions and contents change too.
"""

CLIPS, TIMES, GROUP = 16, (0.9, 0.7, 0.5), 4


def measure(seed: int) -> dict:
  import dataclasses
  import math

  import jax
  import numpy as np

  from stale_jax.models.entropy import key_scale
  from stale_jax.pipeline import load

  model = load("digits")
  layers = [captured(model, model.source, t, seed, 0) for t in TIMES]
  trained = {name: x.shape[1:3] for name, x in layers[0][1][0][1].items()}
  tokens = sum(math.prod(shape) for shape in trained.values())
  order = np.random.default_rng(seed).permutation(tokens)[: tokens // 4]
  wide = dataclasses.replace(model.source, canvas=2 * model.source.canvas)
  there = {
    frames: [captured(model, wide, t, seed, frames, 4)[1] for t in TIMES] for frames in (0, model.frames)
  }
  rows, ratios = [], {"scaled": [], "unscaled": []}
  for layer in range(model.system.network.depth):
    parts = [entropies(run[1][layer], trained, order) for run in layers]
    h = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    bound = 1 - min(h["variance"], 4) / (4 * math.log(tokens))
    row = {"layer": layer, "variance": h["variance"], "bound": bound, "trained": h["trained"]}
    for name in ("four times", "quarter"):
      change = abs(h[name] - h["trained"])
      row[name] = abs(h[f"{name}, scaled"] - h["trained"]) / change
      ratios["scaled"].append(row[name] / bound)
      ratios["unscaled"].append(1 / bound)
    plain, scaled = (
      float(np.mean([entropy(*run[layer]).mean() for run in there[frames]])) for frames in (0, model.frames)
    )
    row["wide canvas"] = abs(scaled - h["trained"]) / abs(plain - h["trained"])
    rows.append(row)
    print(row, flush=True)
  pairs = [(64, 16), (16, 64), (640, 160), (40, 160), (2, 100), (100_000, 640)]
  error = max(abs(key_scale(n, t) - math.sqrt(math.log(n) / math.log(t))) for n, t in pairs)
  root = max(abs(math.sqrt(n / t) - math.sqrt(math.log(n) / math.log(t))) for n, t in pairs)
  same = [captured(model, model.source, 0.7, seed, frames, 4)[0] for frames in (0, model.frames)]
  equal = all(bool((a == b).all()) for a, b in zip(*map(jax.tree.leaves, same), strict=True))
  value = max(ratios["scaled"])
  conditions = {
    "attention without scaling fails": max(ratios["unscaled"]) > 1,
    "N = T: the same bits": equal,
    "the scale is exact to 1e-6": error <= 1e-6,
    "the root of N / T is another scale": root > 1e-6,
  }
  return {
    "value": value,
    "bar": 1.0,
    "holds": bool(value <= 1 and all(conditions.values())),
    "conditions": conditions,
    "tokens": tokens,
    "layers": rows,
    "clips": CLIPS,
  }


def captured(model, source, t: float, seed: int, frames: int, clips: int = CLIPS):
  """Runs the network on real clips noised to `t`, with attention scaled from clips of `frames` frames.

  Returns:
    (the outputs; for each layer: the queries of sight in the last frame, [clips, queries, heads, width], and
    sense -> keys, [clips, time, place, heads, width], both as attention uses them).
  """
  import dataclasses
  from unittest import mock

  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.models import mixers
  from stale_jax.processes import corrupt
  from stale_jax.text import tokenize

  test = dataclasses.replace(source, split="test", seed=seed)
  examples = [test[i] for i in range(clips)]
  clip = {
    s.name: jnp.asarray(np.stack([e["clip"][s.name] for e in examples])) for s in model.system.data.senses
  }
  times = jnp.full((clips, source.frames), t)
  noised = corrupt(model.system.diffusion.process, clip, times, jax.random.key(seed))
  network = model.system.network.clone(trained_frames=frames)
  text = jnp.asarray(tokenize([e["caption"] for e in examples], network.text_length))
  layers, attend = [], mixers.attend

  def watched(q, k, *rest):
    layers.append((q["sight"][:, -1], {name: x for name, x in k.items() if name != "text"}))
    return attend(q, k, *rest)

  with mock.patch.object(mixers, "attend", watched):
    out = network.apply(model.params, {n: c.x_t for n, c in noised.items()}, times, Context(text=text))
  return out, layers


def entropies(layer, trained, order) -> dict[str, float]:
  """Mean entropies for T keys, and for 4T and T / 4, plain and scaled; the variance of the logits for T."""
  import jax.numpy as jnp

  from stale_jax.models.attention import concat_streams
  from stale_jax.models.entropy import key_scale

  q, k = layer
  keys = concat_streams(k)
  pooled = jnp.reshape(keys, (-1, GROUP * keys.shape[1], *keys.shape[2:]))
  several = {
    "four times": jnp.repeat(pooled, GROUP, 0),
    "quarter": keys[:, order],
  }
  out = {"trained": entropy(q, keys).mean(), "variance": logits(q, keys).var(-1).mean()}
  for name, some in several.items():
    out[name] = entropy(q, some).mean()
    out[f"{name}, scaled"] = entropy(q, some * key_scale(some.shape[1], keys.shape[1])).mean()
  return {name: float(x) for name, x in out.items()}


def logits(q, k):
  """[clips, heads, queries, keys]."""
  import jax.numpy as jnp

  return jnp.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5


def entropy(q, k):
  """Entropy of the attention of each query and head, in nats; `k` may be a dictionary of streams."""
  import jax

  from stale_jax.models.attention import concat_streams

  log_p = jax.nn.log_softmax(logits(q, concat_streams(k) if isinstance(k, dict) else k))
  return -(jax.numpy.exp(log_p) * log_p).sum(-1)
