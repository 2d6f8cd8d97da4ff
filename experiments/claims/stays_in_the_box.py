"""From the uniform prior no value ever leaves [-1, 1], at any step count, any guidance, and for any network.

Values are checked at every step of every solver at guidance 10, for the digits model and for a network that
outputs noise. Value: the number of cases (process, network, solver, step count) in which a value leaves the
box. Bar: 0. The greatest absolute value under `GaussianFlow` is printed for contrast.
"""


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.pipeline import load
  from stale_jax.processes import GaussianFlow, Reflected, UniformFlow, grid
  from stale_jax.sampling import classifier_free, prior, solve
  from stale_jax.text import tokenize

  model = load("digits")
  senses, frames = model.system.data.senses, model.frames
  context = Context(
    text=jnp.asarray(tokenize(["a red seven moves left quickly"] * 4, model.system.network.text_length))
  )
  keys = jax.random.split(jax.random.key(seed), 4)

  def trained(clip, t, context):
    return model.system.network.apply(model.params, clip, t, context)

  def noise(clip, t, context):
    # Unbounded, and different for every input, with and without a caption.
    words = jnp.sum(context.text, -1)
    key = jax.random.fold_in(jax.random.key(seed), jnp.sum(t * 1e4).astype(jnp.int32))

    def answer(x):
      w = jnp.sin(words.astype(jnp.float32)).reshape(-1, *(1,) * (x.ndim - 1))
      return 5 * jax.random.normal(key, x.shape) + 3 * w

    return {name: answer(x) for name, x in clip.items()}

  def grids(counts):
    """A time grid for each number of steps, all in one shape [longest+1, batch, frames].

    Shorter grids are padded with zeros: solvers do not change a frame whose time does not fall.
    """
    longest = max(counts)
    rows = [jnp.pad(grid(steps), (0, longest - steps)) for steps in counts]
    return [jnp.broadcast_to(row[:, None, None], (longest + 1, 4, frames)) for row in rows]

  def greatest(process, denoiser, solver, counts, scale):
    """The greatest absolute value in all steps of sampling, for each step count; infinite if any is NaN."""
    sizes = []

    def look(step, clip):
      sizes.append(max(np.nan_to_num(np.abs(x), nan=np.inf).max() for x in clip.values()))

    @jax.jit
    def run(times):
      # With the network that outputs noise, two senses are as hard as five, and compile in half the time.
      some = senses if denoiser is trained else senses[:2]
      x, guided = prior(process, some, frames, keys), classifier_free(denoiser, scale)
      return solve(process, guided, x, times, context, keys, solver, callback=look)

    found = []
    for times in grids(counts):
      sizes.clear()
      jax.block_until_ready(run(times))
      jax.effects_barrier()
      found.append(float(max(sizes)))
    return found

  rows = []
  cases = [
    (UniformFlow(), "euler"),
    (UniformFlow(), "heun"),
    (UniformFlow(), "multistep"),
    (Reflected(), "ancestral"),
    (Reflected(), "euler"),
    (Reflected(), "heun"),
  ]
  for process, solver in cases:
    counts = (1, 4, 64)
    for steps, worst in zip(counts, greatest(process, noise, solver, counts, 10.0), strict=True):
      rows.append((type(process).__name__, "noise", solver, steps, 10.0, worst))
  # The packaged network, with its own process.
  process, counts = model.system.diffusion.process, (1, 4, 20)
  for steps, worst in zip(counts, greatest(process, trained, "euler", counts, 10.0), strict=True):
    rows.append((type(process).__name__, "shipped", "euler", steps, 10.0, worst))
  outside = sum(row[-1] > 1 + 1e-6 for row in rows)
  (contrast,) = greatest(GaussianFlow(), noise, "ancestral", (64,), 10.0)
  for row in rows:
    print("{:12} {:8} {:10} steps {:3} guidance {:4}  greatest {:.6f}".format(*row))
  print(f"for contrast, GaussianFlow: greatest {contrast:.3f}")
  return {
    "value": outside,
    "bar": 0,
    "holds": outside == 0 and all(np.isfinite(row[-1]) for row in rows),
    "cases": len(rows),
    "greatest": max(row[-1] for row in rows),
    "gaussian_flow_greatest": contrast,
  }
