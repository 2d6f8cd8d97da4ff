"""Was this handwriting trained on? The model is asked, by its denoising loss alone.

A model denoises what it has seen a little better than what it has not (Carlini et al.,
arXiv 2112.03570, on membership; difficulty calibrated by a reference model, Watson et al.,
arXiv 2111.08440). Losses of the test's handwriting above those of the training's are the
gap; a leaked item lies on the training's side of it. Digits differ far more in difficulty than by
having been seen, so the model is read against a reference on the same digits.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from stale_jax.compilation import batches
from stale_jax.data.loader import collate
from stale_jax.data.sources.digits import handwriting
from stale_jax.processes import corrupt_array

# Around where a digit's identity is decided, and there a model that remembers has most to gain.
_TIMES = (0.5, 0.7, 0.85)
_BATCH = 64


@functools.cache
def _network(model, process):
  """The loss of the sight of a batch of clips at each of _TIMES, [times, batch], compiled once a shape."""

  @jax.jit
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
  """log of the denoising error of each digit of `split` under `model`, over `views` clips of it.

  Colour, path and noise of view v of the i-th digit depend on (seed, v, i) alone: models can be paired.
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
      parts.append(np.log(run(model.params, batch, keys)).mean(0))
    total += np.concatenate(parts)[: len(targets)].astype(np.float64)
  return total / views


def membership(
  audited: dict[str, Float[np.ndarray, "n"]],
  clean: dict[str, Float[np.ndarray, "n"]] | None = None,
  draws: int = 2000,
) -> dict[str, float | None]:
  """What a model's losses say of the share of the test's handwriting it was trained on.

  With a share f of it leaked, the gap between test and training is (1 - f) times the clean
  one, hence f = 1 - gap / clean gap. It holds for models of one recipe: one that remembers
  less has a smaller gap too. Where the clean gap is not above 0 by twice its error the models remember
  nothing that could be told, and nothing is.

  Args:
    audited: split -> `handwriting_losses` of the model in question.
    clean: the same of a model of its recipe that saw no test handwriting.
    draws: of the bootstrap of the handwriting.

  Returns:
    gap: log loss, test above training, and gap_standard_error. With `clean` also
    estimate, not cut to [0, 1], None where nothing can be told; standard_error, half the width of its
    central 68 % (a ratio has no variance where its divisor may be 0), or None; clean_gap;
    clean_gap_standard_error.
  """
  both = [audited] if clean is None else [audited, clean]

  def gaps(rows):
    return [np.mean(x["test"][rows["test"]]) - np.mean(x["train"][rows["train"]]) for x in both]

  rng = np.random.default_rng(0)
  sizes = {split: len(x) for split, x in audited.items()}
  measured = gaps({split: np.arange(n) for split, n in sizes.items()})
  drawn = np.array([gaps({s: rng.integers(0, n, n) for s, n in sizes.items()}) for _ in range(draws)])
  said = {"gap": float(measured[0]), "gap_standard_error": float(drawn[:, 0].std())}
  if clean is None:
    return said
  low, high = np.quantile(1 - drawn[:, 0] / drawn[:, 1], (0.16, 0.84))
  clean_error = float(drawn[:, 1].std())
  told = measured[1] > 2 * clean_error
  return {
    "estimate": float(1 - measured[0] / measured[1]) if told else None,
    "standard_error": float((high - low) / 2) if told else None,
    **said,
    "clean_gap": float(measured[1]),
    "clean_gap_standard_error": clean_error,
  }
