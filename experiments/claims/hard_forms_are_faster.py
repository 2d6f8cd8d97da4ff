"""The hard mode of two forms saves time in proportion to the operations that it leaves out.

Each block has two forms, attention along time and over space, mixed by a gate; in the hard mode it computes
only the form with the larger weight (`models.forms`). A model of sight with 144 tokens and random gates runs
the same batch, whose clips have one caption, with both forms and in the hard mode, alternately. Value: the
ratio of the two times divided by the ratio of their operations, as the compiler counts them (of a
conditional, the more expensive branch). Bar: 1.1.
"""

WIDTH, DEPTH, BATCH, ROUNDS, WARM = 128, 4, 16, 40, 5


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp

  from experiments.claims._small import digits
  from experiments.claims._timing import alternate
  from stale_jax.clip import Context
  from stale_jax.config import build
  from stale_jax.text import tokenize
  from stale_jax.training.initial import init_params

  sizes = {"canvas": 24, "frames": 4, "patch": 1, "width": WIDTH, "depth": DEPTH}
  models = {mode: build(digits(seed, forms=mode, **sizes)) for mode in ("dense", "hard")}
  source = models["dense"].data.source
  key = jax.random.key(seed)
  params = init_params(models["dense"], key)

  def leaning(path, x):
    """Replaces the kernels of the gates, which at first weigh both forms equally, by random ones."""
    drawn = any("plot_modulation" in str(part) for part in path)
    return jax.random.normal(jax.random.fold_in(key, 1), x.shape) if drawn else x

  params = jax.tree_util.tree_map_with_path(leaning, params)
  sight = jax.random.uniform(key, (BATCH, source.frames, *source.senses["sight"].shape), minval=-1)
  text = tokenize([source[0]["caption"]] * BATCH, models["dense"].network.text_length)
  given = params, {"sight": sight}, jnp.full(sight.shape[:2], 0.7), Context(text=jnp.asarray(text))

  runs = {mode: jax.jit(e.network.apply).lower(*given).compile() for mode, e in models.items()}
  operations = {mode: run.cost_analysis()["flops"] for mode, run in runs.items()}
  programs = {mode: lambda run=run: jax.block_until_ready(run(*given)) for mode, run in runs.items()}
  medians = alternate(programs, ROUNDS, WARM)
  time_ratio, ratio = (x["hard"] / x["dense"] for x in (medians, operations))
  print(f"hard over dense: {time_ratio:.3f} of the time, {ratio:.3f} of the operations")
  return {
    "value": time_ratio / ratio,
    "bar": 1.1,
    "holds": time_ratio / ratio <= 1.1,
    "time_ratio": time_ratio,
    "operations_ratio": ratio,
    "operations": operations,
  }
