"""The noise controller gives still sources the most noise, fast ones the least, by a moving average.

Test B4 of StreamDiffusionV2 (arXiv 2511.07399), with the paper's settings: least .7, most .8, rate .9. Value:
the greatest distance from the closed form: .8 for a still source; .7 + .1 * .1^t after t frames that differ
from their predecessors by sigma or more; and for a source that moves in every third frame only, the same,
since the greatest of the last differences counts. Bar: 1e-6. The fake, `no_memory`, remembers the last
difference alone; it must exceed the bar.
"""

FRAMES = 60


def measure(seed: int) -> dict:
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.sampling.stream.noise import NoiseController

  still = jnp.asarray(np.random.default_rng(seed).uniform(-0.5, 0.5, (8, 8, 3)), jnp.float32)

  def noises(signs, memory=5):
    kind = NoiseController(memory=memory)
    state, out = kind.start(still), []
    for sign in signs:
      state = kind(state, still + 0.3 * sign)
      out.append(float(state.noise))
    return np.array(out)

  falling = 0.7 + 0.1 * 0.1 ** np.arange(1, FRAMES + 1)
  fast = [(number + 1) % 2 for number in range(FRAMES)]
  rare = [(number // 3 + 1) % 2 for number in range(FRAMES)]
  errors = {
    "still": np.abs(noises([0] * FRAMES) - 0.8).max(),
    "fast": np.abs(noises(fast) - falling).max(),
    "every_third": np.abs(noises(rare) - falling).max(),
  }
  value, fake = float(max(errors.values())), float(np.abs(noises(rare, memory=1) - falling).max())
  return {
    "value": value,
    "bar": 1e-6,
    "holds": value <= 1e-6 < fake,
    "errors": {name: float(error) for name, error in errors.items()},
    "no_memory": fake,
  }
