"""Self-Forcing's gradient is the intended one, and no gradient flows into cached keys and values.

For a small causal student (arXiv 2506.08009), two gradients of the parameters are compared: that of the loss
1/2 mean |x - sg(x - g)|^2, where x are n generated values, sg stops the gradient and g is drawn at random;
and g / n, pulled back through the exit steps by `jax.vjp`. Value: their greatest difference. Bar: 1e-6.
`kept` is the greatest gradient of the loss with respect to a cached key or value of earlier frames; it must
be exactly 0. `unstopped` is the greatest gradient with respect to the cached values of the last chunk if
gradients are not stopped; it must exceed the bar.
"""


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp

  from experiments.claims._student import PROMPTS, conditions, student, trained_on
  from stale_jax.objectives import dmd_loss
  from stale_jax.training.steps.rollouts import leave, taken_again
  from stale_jax.training.steps.self_forcing import student_programs

  model, step = student(seed), 2
  programs, (times, context, _, _) = student_programs(model.system), conditions(model, seed)
  exits, _ = trained_on(model, seed, step, 3)
  shapes = jax.eval_shape(lambda p: taken_again(programs, p, exits, times[step], context), model.params)
  away = {
    name: jax.random.normal(jax.random.fold_in(jax.random.key(seed), i), x.shape)
    for i, (name, x) in enumerate(shapes.items())
  }

  @jax.jit
  def both(params, exits):
    def loss(params, exits):
      return dmd_loss(taken_again(programs, params, exits, times[step], context), away, {})

    by_trick, kept = jax.grad(loss, (0, 1), allow_int=True)(params, exits)
    clip, pullback = jax.vjp(lambda p: taken_again(programs, p, exits, times[step], context), params)
    return by_trick, pullback({name: away[name] / x.size for name, x in clip.items()})[0], kept.cache

  @jax.jit
  def open_to(values):
    """The gradient of the last chunk's loss with respect to its cached values, without stopping gradients."""
    last = jax.tree.map(lambda x: x[-1], exits)

    def loss(values):
      cache = last.cache.replace(values=values)
      clip = leave(programs, model.params, last.x, cache, times[step], context)
      return dmd_loss(clip, {name: away[name][:, -1:] for name in clip}, {})

    return jax.grad(loss)(values)

  def greatest(tree) -> float:
    return max(float(jnp.abs(x).max()) for x in jax.tree.leaves(tree) if x.dtype != jax.dtypes.float0)

  by_trick, by_hand, kept = both(model.params, exits)
  value = greatest(jax.tree.map(jnp.subtract, by_trick, by_hand))
  unstopped = greatest(open_to(jax.tree.map(lambda x: x[-1], exits.cache.values)))
  return {
    "value": value,
    "bar": 1e-6,
    "holds": value <= 1e-6 and greatest(kept) == 0 and unstopped > 1e-6 and greatest(by_trick) > 1e-4,
    "kept": greatest(kept),
    "unstopped": unstopped,
    "gradient": greatest(by_trick),
    "movies": len(PROMPTS),
  }
