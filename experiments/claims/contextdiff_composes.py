"""Steps of a process whose mean depends on the caption compose to its noising, to 2% of mean and variance.

ContextDiff (arXiv 2402.16627; `processes.contextual`): x_t is drawn from q(x_t | x0) with a bias, and x_s
from q(x_s | x_t, x0). Its moments are compared with those of q(x_s | x0), for uniform and Gaussian flow and
for the variance-preserving process, four pairs of times with three shares of fresh noise, 400,000 draws each.
Value: the greatest error of a mean, in standard deviations of x_s, or relative error of a variance. Bar: .02.
Bridges that forget the bias at the beginning or at the end of a step must exceed the bar. With h = 0, a
sample must have the same bits as that of the process without bias; with a bias and the uniform prior, it must
stay in the box.
"""

DRAWS = 400_000


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp

  from stale_jax.clip import Context
  from stale_jax.processes import VP, GaussianFlow, UniformFlow, grid
  from stale_jax.processes.contextual import Biased, into_the_box
  from stale_jax.sampling.contextual import contextual_sample
  from stale_jax.sampling.editing import Codes, decode
  from stale_jax.sampling.solvers import Reverse

  shape, x0, h = (DRAWS, 1, 1), 0.7, -0.8
  clean, related = jnp.full(shape, x0), into_the_box(jnp.full(shape, h), jnp.full(shape, x0))

  def full(t):
    return jnp.full(shape[:2], t)

  def error(drawn, wanted):
    gap = abs(float(drawn.mean() - wanted.mean())) / float(wanted.std())
    return max(gap, abs(float(drawn.var() / wanted.var()) - 1))

  errors, fakes = {}, {"forgets b_t": 0.0, "forgets b_s": 0.0}
  for process in (UniformFlow(), GaussianFlow(), VP()):
    biased = Biased(process=process, relation=related)
    for number, (t, s, eta) in enumerate(
      ((0.9, 0.5, 0.0), (0.7, 0.4, 0.5), (0.5, 0.3, 1.0), (0.99, 0.6, 1.0))
    ):
      keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), number), 3)
      x_t = biased.corrupt(keys[0], clean, full(t)).x_t
      wanted = biased.corrupt(keys[1], clean, full(s)).x_t
      x_s = biased.bridge(keys[2], clean, x_t, full(t), full(s), eta)
      errors[f"{type(process).__name__} {t} to {s}, eta {eta}"] = error(x_s, wanted)
      plain = process.bridge(keys[2], clean, x_t, full(t), full(s), eta) + biased.bias(full(s))
      fakes["forgets b_t"] = max(fakes["forgets b_t"], error(plain, wanted))
      fakes["forgets b_s"] = max(fakes["forgets b_s"], error(x_s - biased.bias(full(s)), wanted))

  keys, times = jax.vmap(jax.random.key)(seed + jnp.arange(8)), grid(12, 3.0)
  start = jax.random.uniform(keys[0], (8, 4, 6), minval=-1.0)
  same_bits, outside = True, 0.0
  for process in (UniformFlow(), GaussianFlow(), VP()):
    reverse = Reverse(
      process=process,
      denoiser=lambda clip, t, context: {name: jnp.tanh(4 * x) for name, x in clip.items()},
      times=jnp.broadcast_to(times[:, None, None], (len(times), 8, 4)),
      context=Context(text=jnp.zeros((8, 1), jnp.int32)),
      keys=keys,
    )
    clip = {"touch": start}
    without = jax.jit(lambda x, r=reverse: decode(r, Codes(start=x, noise={}), 0.0))(clip)
    zero = jax.jit(
      lambda x, r=reverse: contextual_sample(r, lambda x, c: jax.tree.map(jnp.zeros_like, x), x)
    )(clip)
    same_bits &= bool((jnp.clip(zero["touch"], -1, 1) == without["touch"]).all())
    moved = contextual_sample(reverse, lambda x, c: jax.tree.map(lambda v: jnp.sin(9 * v), x), clip)["touch"]
    if process == UniformFlow():
      outside = float(jnp.maximum(jnp.abs(moved) - 1, 0).max())
      differs = float(jnp.abs(moved - zero["touch"]).max())
  value = max(errors.values())
  conditions = {
    "bridges that forget a bias exceed the bar": min(fakes.values()) > 0.02,
    "without bias, a sample has the same bits": same_bits,
    "with bias, it differs, and stays in the box": differs > 0.1 and outside == 0.0,
  }
  for name, each in {**errors, **fakes}.items():
    print(f"{name:38} {each:.4f}")
  holds = bool(value <= 0.02 and all(conditions.values()))
  return {
    "value": value,
    "bar": 0.02,
    "holds": holds,
    "conditions": conditions,
    "errors": errors,
    "fakes": fakes,
  }
