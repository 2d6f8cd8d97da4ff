"""The windows that Self-Forcing++ judges begin anywhere in a movie, with equal probability.

Self-Forcing++ (arXiv 2510.02283) trains on windows of long movies. 20,000 starts of windows of 8 chunks, in
movies of 80 chunks, are drawn as in a training step. Value: the p-value of Pearson's test against the uniform
distribution over all 73 starts. Bar: .01. `fake` is the p-value of draws that never give the last start; it
must be below the bar.
"""

DRAWS, CHUNKS, WINDOW = 20_000, 80, 8


def measure(seed: int) -> dict:
  import jax
  import numpy as np
  from scipy.stats import chisquare

  from stale_jax.training.steps.rollouts import window_start

  def p(chunks: int) -> float:
    keys = jax.random.split(jax.random.key(seed), DRAWS)
    starts = np.asarray(jax.vmap(lambda key: window_start(key, chunks, WINDOW))(keys))
    counts = np.bincount(starts, minlength=CHUNKS - WINDOW + 1)
    return float(chisquare(counts).pvalue)

  value, fake = p(CHUNKS), p(CHUNKS - 1)
  return {"value": value, "bar": 0.01, "holds": value > 0.01 > fake, "fake": fake, "draws": DRAWS}
