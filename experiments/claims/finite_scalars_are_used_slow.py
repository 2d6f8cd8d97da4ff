"""Many of the 1,000 codewords of an FSQ autoencoder are in use: their perplexity is at least 250.

A small autoencoder of moving digits, whose bottleneck is finite scalar quantisation (FSQ), is evaluated on
held-out clips. Value: the perplexity of the codewords divided by their number. Bar: .25. Much of a clip is
blank and encoded alike: `attainable` is the value if all blank blocks had one codeword, and the other blocks
used all other codewords equally often.
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
