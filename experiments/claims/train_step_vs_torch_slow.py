"""A training step takes no longer than that of diffusers' transformer of the same size, each at its best.

A step is forward, backward and AdamW on 2 clips of 512 tokens of video and 64 of text. For PyTorch, the best
of eager and compiled, float32 and bfloat16 autocast, with its fused optimizer; for JAX, the best of float32
and bfloat16. Calls alternate. Value: the smallest median time of JAX divided by that of PyTorch. Bar: 1.
Needs `pip install torch diffusers`.
"""

ROUNDS = 15


def measure(seed: int) -> dict:
  from experiments.claims._diffusers import compared, ours, theirs, theirs_in_every_way
  from experiments.claims._timing import alternate

  network, inputs = theirs()
  import jax
  import jax.numpy as jnp
  import optax
  import torch

  sizes = {"torch": sum(p.numel() for p in network.parameters())}
  optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
  target = torch.randn_like(inputs["hidden_states"])

  def torch_step(forward, dtype):
    def step():
      optimizer.zero_grad()
      with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        output = forward(**inputs).sample
      torch.nn.functional.mse_loss(output.float(), target).backward()
      optimizer.step()

    return step

  programs = theirs_in_every_way(network, torch_step)
  for dtype in ("float32", "bfloat16"):
    model, params, given = ours(dtype)
    adamw = optax.adamw(1e-4)
    goal = jax.random.normal(jax.random.key(seed), given[0]["sight"].shape)

    def update(params, state, model=model, given=given, goal=goal, adamw=adamw):
      grads = jax.grad(lambda p: jnp.mean(jnp.square(model.apply(p, *given)["sight"] - goal)))(params)
      updates, state = adamw.update(grads, state, params)
      return optax.apply_updates(params, updates), state

    held, run = [params, adamw.init(params)], jax.jit(update, donate_argnums=(0, 1))

    def jax_step(held=held, run=run):
      held[:] = jax.block_until_ready(run(*held))

    programs[f"jax {dtype}"] = jax_step
    sizes["jax"] = sum(x.size for x in jax.tree.leaves(params))
  return compared(alternate(programs, ROUNDS), sizes)
