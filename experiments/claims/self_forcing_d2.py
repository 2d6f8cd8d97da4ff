"""A student's cache is the same in training as in generation: slots, which of them are filled, positions.

Self-Forcing++ (arXiv 2510.02283) is checked with a small causal student with a sink, in movies three times as
long as its clips, with windows at every start. Before each chunk of each window, the caches of training and
of generation are compared: their slots, the number of frames in them (from which the network derives which
slots are valid and all positions: `models/transformer.py`), and the keys and values. Value: the number of
caches whose slots or numbers of frames differ. Bar: 0. `values` is the greatest difference of a key or value;
it must be at most 1e-5. `fake` is what the value would be if training began each window with an empty cache;
it must be above 0.
"""


def measure(seed: int) -> dict:
  import jax
  import numpy as np

  from experiments.claims._student import FRAMES, STEPS, generated, student, trained_on

  model, frames = student(seed), 3 * FRAMES
  step = STEPS - 1
  _, caches = generated(model, seed, step, frames)

  def place(cache) -> tuple:
    return cache.frames.tolist(), [x.shape for x in jax.tree.leaves(cache)]

  wrong, fakes, greatest, compared = 0, 0, 0.0, 0
  for start in range(1, frames - FRAMES + 1):
    exits, _ = trained_on(model, seed, step, start)
    for chunk in range(FRAMES):
      ours = jax.tree.map(lambda x, chunk=chunk: np.asarray(x[chunk]), exits.cache)
      theirs = caches[start + chunk - 1]
      wrong += place(ours) != place(theirs)
      fakes += chunk < place(theirs)[0]
      pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
      greatest = max(greatest, max(float(np.abs(a - b).max()) for a, b in pairs))
      compared += 1
  return {
    "value": wrong,
    "bar": 0,
    "holds": wrong == 0 and greatest <= 1e-5 and fakes > 0,
    "values": greatest,
    "fake": fakes,
    "caches": compared,
  }
