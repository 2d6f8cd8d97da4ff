"""What a student's gradient must remember does not depend on the step at which its chunks exit.

Self-Forcing (arXiv 2506.08009), with a small causal student of four steps. Counted are the bytes that the
forward pass of its loss, rollout included, keeps for the backward pass, if all chunks exit at the first step
and if all exit at the last. Value: how much more the last keeps, as a share. Bar: .05. `naive` is the same of
a rollout that is differentiated as a whole; it must exceed the bar.
"""


def measure(seed: int) -> dict:
  import math

  import jax

  from experiments.claims._student import FRAMES, STEPS, conditions, student
  from stale_jax.training.steps.rollouts import joined, roll, taken_again
  from stale_jax.training.steps.self_forcing import student_programs

  model = student(seed)
  programs, (times, context, noise, keys) = student_programs(model.system), conditions(model, seed)

  def rolled(params, step):
    return roll(programs, params, times, step, context, noise, keys, None, FRAMES)[0]

  def ours(params, step):
    return taken_again(programs, params, rolled(params, step), times[step], context)

  def naive(params, step):
    return joined(rolled(params, step).clip)

  def kept(clip, step: int) -> int:
    """Bytes that the pullback closes over."""
    pullback = jax.eval_shape(lambda params: jax.vjp(lambda p: clip(p, step), params)[1], model.params)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(pullback))

  first, last = (kept(ours, step) for step in (0, STEPS - 1))
  grows = kept(naive, STEPS - 1) / kept(naive, 0) - 1
  return {
    "value": last / first - 1,
    "bar": 0.05,
    "holds": abs(last / first - 1) <= 0.05 < grows,
    "bytes": [first, last],
    "naive": grows,
    "steps": STEPS,
  }
