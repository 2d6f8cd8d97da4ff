"""Estimates from the denoising losses of a model alone whether it was trained on given handwriting.

A model denoises training examples a little better than unseen ones (membership inference, Carlini et al.,
arXiv 2112.03570; calibrated for difficulty by a reference model, Watson et al., arXiv 2111.08440). The gap is
the loss of the test handwriting minus that of the training handwriting. If test digits leaked into the
training data, the gap is smaller. The difficulty of digits varies far more than the effect of membership, so
the model is compared with a reference model on the same digits.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from stale_jax.compilation import OnMesh, batches
from stale_jax.data.collate import collate
from stale_jax.data.sources.digits import handwriting
from stale_jax.mesh import on_host
from stale_jax.processes import corrupt_array

# Times at which the identity of a digit is decided: there memorisation lowers the loss most.
_TIMES = (0.5, 0.7, 0.85)
_BATCH = 64


@functools.cache
def _network(model, process):
  """Returns a function that computes the rms error of sight at each of _TIMES, [times, batch]."""

  @OnMesh
  def losses(params, batch, keys):
    def at(time):
      t = jnp.full(next(iter(batch.clip.values())).shape[:2], time)
      x_t = {name: corrupt_array(process, x, t, keys).x_t for name, x in batch.clip.items()}
      output = model.apply(params, x_t, t, batch.context)["sight"]
      error = process.denoised(output, x_t["sight"], t) - batch.clip["sight"]
      return jnp.sqrt(jnp.mean(jnp.square(error), tuple(range(1, error.ndim))))

    return jnp.stack([at(time) for time in _TIMES])

  return losses


def handwriting_losses(model, split: str, views: int = 2, seed: int = 0) -> Float[np.ndarray, "n"]:
  """Log of the rms denoising error of each digit of `split`, averaged over `views` clips of the digit.

  Colour, path and noise of view v of the i-th digit depend on (seed, v, i) alone, so the losses of
  two models can be paired.
  """
  experiment, run = model.system, _network(model.system.network, model.system.diffusion.process)
  images, targets = handwriting(split)
  total = 0.0

  def example(row, view):
    rng = np.random.Generator(np.random.Philox(key=[seed, row * views + view]))
    return {**experiment.data.source.show(images[row], int(targets[row]), rng), "index": row}

  for view in range(views):
    parts = []
    for rows in batches(len(targets), _BATCH):
      examples = [example(int(row), view) for row in rows]
      batch = collate(examples, experiment.data.senses, experiment.network.text_length)
      key = jax.random.fold_in(jax.random.key(seed), view)
      keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.asarray(rows))
      parts.append(np.log(on_host(run(model.params, batch, keys))).mean(0))
    total += np.concatenate(parts)[: len(targets)].astype(np.float64)
  return total / views


def membership(
  audited: dict[str, Float[np.ndarray, "n"]],
  clean: dict[str, Float[np.ndarray, "n"]] | None = None,
  draws: int = 2000,
) -> dict[str, float | None]:
  """Estimates from the losses of a model the share of the test handwriting that it was trained on.

  If a share f leaked, the gap between test and training is (1 - f) times the clean gap, so f = 1 - gap /
  clean gap. This holds for models of the same recipe only: a model that memorises less also has a smaller
  gap. There is no estimate unless the clean gap exceeds twice its standard error: otherwise models of this
  recipe do not memorise measurably.

  Args:
    audited: split -> `handwriting_losses` of the model in question.
    clean: the same for a model of the same recipe that was trained without test handwriting.
    draws: number of bootstrap samples of the digits.

  Returns:
    gap: mean log error of test digits minus that of training digits; gap_standard_error: its bootstrap error
      over digits. With `clean` also
    estimate: the share f, not clipped to [0, 1]; None if the clean gap is too small.
    standard_error: half the width of the interval of the central 68% of the bootstrap estimates (the variance
      of a ratio is infinite where its divisor may be 0); None without an estimate.
    clean_gap, clean_gap_standard_error: the gap of the clean model and its error.
  """
  both = [audited] if clean is None else [audited, clean]

  def gaps(rows):
    return [np.mean(x["test"][rows["test"]]) - np.mean(x["train"][rows["train"]]) for x in both]

  rng = np.random.default_rng(0)
  sizes = {split: len(x) for split, x in audited.items()}
  measured = gaps({split: np.arange(n) for split, n in sizes.items()})
  drawn = np.array([gaps({s: rng.integers(0, n, n) for s, n in sizes.items()}) for _ in range(draws)])
  scores = {"gap": float(measured[0]), "gap_standard_error": float(drawn[:, 0].std())}
  if clean is None:
    return scores
  low, high = np.quantile(1 - drawn[:, 0] / drawn[:, 1], (0.16, 0.84))
  clean_error = float(drawn[:, 1].std())
  is_measurable = measured[1] > 2 * clean_error
  return {
    "estimate": float(1 - measured[0] / measured[1]) if is_measurable else None,
    "standard_error": float((high - low) / 2) if is_measurable else None,
    **scores,
    "clean_gap": float(measured[1]),
    "clean_gap_standard_error": clean_error,
  }
