"""The memory that a student's gradient needs does not depend on the step at which its chunks exit.

In Self-Forcing (arXiv 2506.08009) each chunk of a rollout leaves denoising at an exit step. The claim counts
the bytes that the forward pass of the loss of a small causal student of four steps, including its rollout,
keeps for the backward pass: if all chunks exit at the first step, and if all exit at the last. Value: the
relative increase from the first to the last. Bar: .05. `naive` is the same increase if the whole rollout is
differentiated; it must exceed the bar.
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
