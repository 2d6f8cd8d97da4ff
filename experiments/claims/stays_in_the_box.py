"""From the uniform prior no value ever leaves [-1, 1]: any step count, any guidance, any network.

Counted at every step of every solver, for the shipped model and for one that answers noise.
"""


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.pretrained import load
  from stale_jax.processes import GaussianFlow, Reflected, UniformFlow, grid
  from stale_jax.sampling import classifier_free, prior, solve
  from stale_jax.text import tokenize

  model = load()
  senses, frames = model.experiment.senses, model.frames
  context = Context(
    text=jnp.asarray(tokenize(["a red seven moves left quickly"] * 4, model.experiment.model.text_length))
  )
  keys = jax.random.split(jax.random.key(seed), 4)

  def trained(clip, t, context):
    return model.experiment.model.apply(model.params, clip, t, context)

  def noise(clip, t, context):
    # Unbounded, different for every input, and different with and without a caption.
    words = jnp.sum(context.text, -1)
    key = jax.random.fold_in(jax.random.key(seed), jnp.sum(t * 1e4).astype(jnp.int32))

    def answer(x):
      w = jnp.sin(words.astype(jnp.float32)).reshape(-1, *(1,) * (x.ndim - 1))
      return 5 * jax.random.normal(key, x.shape) + 3 * w

    return {name: answer(x) for name, x in clip.items()}

  def greatest(process, denoiser, solver, steps, scale):
    """Over the whole trajectory; infinite if anything is not a number."""
    times = jnp.broadcast_to(grid(steps)[:, None, None], (steps + 1, 4, frames))

    @jax.jit
    def run():
      x = prior(process, senses, frames, keys)
      guided = classifier_free(denoiser, scale)
      worst = jnp.zeros(())
      for step in range(0, steps, max(1, steps // 4)):
        piece = times[step : step + max(1, steps // 4) + 1]
        x = solve(process, guided, x, piece, context, keys, solver)
        sizes = [jnp.max(jnp.nan_to_num(jnp.abs(a), nan=jnp.inf)) for a in x.values()]
        worst = jnp.maximum(worst, jnp.max(jnp.stack(sizes)))
      return worst

    return float(run())

  outside, rows = 0, []
  cases = [
    (UniformFlow(), "euler"),
    (UniformFlow(), "heun"),
    (Reflected(), "ancestral"),
    (Reflected(), "euler"),
    (Reflected(), "heun"),
  ]
  for process, solver in cases:
    for steps in (1, 4, 64):
      for scale in (1.0, 5.0, 10.0):
        rows.append(
          (
            type(process).__name__,
            "noise",
            solver,
            steps,
            scale,
            greatest(process, noise, solver, steps, scale),
          )
        )
  # The shipped network, under its own process.
  process = model.experiment.process
  for steps, scale in ((1, 10.0), (4, 10.0), (20, 10.0)):
    worst = greatest(process, trained, "euler", steps, scale)
    rows.append((type(process).__name__, "shipped", "euler", steps, scale, worst))
  outside = sum(row[-1] > 1 + 1e-6 for row in rows)
  contrast = greatest(GaussianFlow(), noise, "ancestral", 64, 10.0)
  for row in rows:
    print("{:12} {:8} {:10} steps {:3} guidance {:4}  greatest {:.6f}".format(*row))
  print(f"for contrast, GaussianFlow on its way: {contrast:.3f}")
  return {
    "value": outside,
    "bar": 0,
    "holds": outside == 0 and all(np.isfinite(row[-1]) for row in rows),
    "cases": len(rows),
    "greatest": max(row[-1] for row in rows),
    "gaussian_flow_greatest": contrast,
  }
