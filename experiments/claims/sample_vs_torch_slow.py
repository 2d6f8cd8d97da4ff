"""Sampling takes no longer than with diffusers' transformer of the same size, each at its best.

Both take ten Euler steps on 2 clips of 512 tokens of video and 64 of text, without guidance. For PyTorch, the
best of eager and compiled, float32 and bfloat16, in inference mode; for JAX, the best of float32 and
bfloat16. Calls alternate. Value: the smallest median time of JAX divided by that of PyTorch. Bar: 1. Needs
`pip install torch diffusers`.
"""

ROUNDS, STEPS = 8, 10


def measure(seed: int) -> dict:
  from experiments.claims._diffusers import compared, ours, theirs, theirs_in_every_way
  from experiments.claims._timing import alternate

  network, inputs = theirs()
  import jax
  import torch

  network.eval()
  sizes = {"torch": sum(p.numel() for p in network.parameters())}

  def torch_sampler(forward, dtype):
    def sample():
      x = inputs["hidden_states"]
      with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        for _ in range(STEPS):
          x = x - forward(**{**inputs, "hidden_states": x}).sample / STEPS
      return x

    return sample

  programs = theirs_in_every_way(network, torch_sampler)
  for dtype in ("float32", "bfloat16"):
    model, params, (clip, t, context) = ours(dtype)

    def sample(params, x, model=model, t=t, context=context):
      def step(_, x):
        return x - model.apply(params, {"sight": x}, t, context)["sight"] / STEPS

      return jax.lax.fori_loop(0, STEPS, step, x)

    run = jax.jit(sample)
    programs[f"jax {dtype}"] = lambda run=run, p=params, x=clip["sight"]: jax.block_until_ready(run(p, x))
    sizes["jax"] = sum(x.size for x in jax.tree.leaves(params))
  return compared(alternate(programs, ROUNDS), sizes)
