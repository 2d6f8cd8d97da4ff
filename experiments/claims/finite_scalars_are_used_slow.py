"""Many of the 1,000 codewords of finite scalars are in use: their perplexity is at least a quarter of 1,000.

A small autoencoder of moving digits, on held-out clips. Value: the perplexity divided by the number of
codewords. Bar: .25. Much of a clip is blank and coded alike everywhere: `attainable` is the value if all
blocks in which nothing is seen had one codeword, and the other blocks used all codewords equally.
"""

STEPS, CLIPS = 600, 256
LEVELS = (8, 5, 5, 5)


def measure(seed: int) -> dict:
  import math

  import numpy as np

  from experiments.claims._small import autoencoder
  from stale_jax.evaluation import evaluate_reconstruction
  from stale_jax.models.autoencoder import lengthen, space_to_depth
  from stale_jax.testing.models import trained

  model = trained(autoencoder(seed, canvas=12, model={"bottleneck": "fsq", "levels": LEVELS}), STEPS)
  said, clip = evaluate_reconstruction(model, clips=CLIPS)
  coder = model.system.network
  blocks = np.asarray(space_to_depth(lengthen(clip["sight"][::2], coder.time), coder.time, coder.space))
  blank, codes = float((blocks.max(-1) < -0.99).mean()), math.prod(LEVELS)
  nats = -blank * math.log(blank) - (1 - blank) * math.log((1 - blank) / (codes - 1))
  value = said["codes"]
  return {
    "value": value,
    "bar": 0.25,
    "holds": value >= 0.25,
    "attainable": math.exp(nats) / codes,
    "blank": blank,
    "mse": said["mse"],
    "steps": STEPS,
  }
