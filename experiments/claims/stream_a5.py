"""The stochastic similarity filter skips still frames, no unrelated ones, and others as its formula says.

Test A5 of StreamDiffusion (arXiv 2312.12491). Of T = 200 still frames at most ceil(T / (cap + 1)) + 1 may be
processed, with a cap of 10, and of unrelated frames none may be skipped. Of 4000 frames whose cosine
similarity to the last processed one is .96, with a threshold of .9, the formula skips a share of .6. Value:
the distance of the share that was skipped from it, in standard deviations of a binomial share. Bar: 3. The
fake, `threshold_only`, skips all frames above the threshold; it must be further away.
"""

FRAMES, CAP, DRAWS, THRESHOLD, COSINE = 200, 10, 4000, 0.9, 0.96


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.sampling.stream.similarity import SimilarityFilter

  rng = np.random.default_rng(seed)

  def processed(frames) -> int:
    kind = SimilarityFilter(most=CAP)
    keys = jax.random.split(jax.random.key(seed), len(frames))
    return int(jax.lax.scan(lambda s, x: kind(s, *x), kind.start(frames[0]), (frames, keys))[1].sum())

  still = processed(jnp.full((FRAMES, 8, 8, 3), 0.3))
  unrelated = processed(jnp.asarray(rng.choice([-1.0, 1.0], (FRAMES, 8, 8, 3)), jnp.float32))
  a = rng.uniform(0.2, 0.8, 64)
  side = rng.normal(size=64)
  side -= a * (a @ side) / (a @ a)
  b = a * COSINE + side * np.linalg.norm(a) / np.linalg.norm(side) * np.sqrt(1 - COSINE**2)
  kind = SimilarityFilter(threshold=THRESHOLD, most=10**6)
  first, second = (jnp.asarray(2 * x - 1, jnp.float32) for x in (a, b))
  state, _ = kind(kind.start(first), first, jax.random.key(seed))
  keys = jax.random.split(jax.random.key(seed + 1), DRAWS)
  share = 1 - float(jax.vmap(lambda key: kind(state, second, key)[1])(keys).mean())
  expected = (COSINE - THRESHOLD) / (1 - THRESHOLD)
  deviation = np.sqrt(expected * (1 - expected) / DRAWS)
  value, fake = float(abs(share - expected) / deviation), float((1 - expected) / deviation)
  most = -(-FRAMES // (CAP + 1)) + 1
  return {
    "value": value,
    "bar": 3,
    "holds": value <= 3 < fake and still <= most and unrelated == FRAMES,
    "skipped": share,
    "expected": expected,
    "still_processed": still,
    "still_at_most": most,
    "unrelated_skipped": FRAMES - unrelated,
    "threshold_only": fake,
  }
