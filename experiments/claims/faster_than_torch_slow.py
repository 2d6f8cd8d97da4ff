"""Forward, backward and AdamW of the digits model's network take at most .90 of the time of PyTorch eager.

Both run the same transformer with the same weights, on the CPU in float32. The loss and the gradient norm of
the first step must agree to .1%. Steps alternate in one process. Value: the ratio of the median times of a
step. Bar: .90. Needs `pip install torch==2.13.0`.
"""

ROUNDS, WARM = 20, 3


def measure(seed: int) -> dict:
  from stale_jax.errors import UserError

  try:
    import torch
  except ImportError as error:
    raise UserError("this claim compares with PyTorch: pip install torch==2.13.0") from error
  import statistics
  import time

  import jax
  import jax.numpy as jnp
  import numpy as np
  import optax
  from flax import traverse_util

  from configs.digits import get_config
  from experiments.claims._torch_twin import Twin
  from stale_jax.clip import Context
  from stale_jax.config import build
  from stale_jax.data import collate
  from stale_jax.memory import keep_memory
  from stale_jax.models.parameters import by_path
  from stale_jax.training.initial import init_params

  keep_memory()  # As in training; it applies to the whole process, and so makes PyTorch faster too.
  experiment = build(get_config().to_dict())
  size = experiment.training.settings.batch
  batch = collate(
    [experiment.data.source[i] for i in range(size)], experiment.data.senses, experiment.network.text_length
  )
  rng = np.random.default_rng(seed)
  t = np.repeat(rng.uniform(0.2, 1, (size, 1)), experiment.data.source.frames, 1).astype(np.float32)
  noisy = {}
  for name, x in batch.clip.items():
    tt = t.reshape(*t.shape, *(1,) * (x.ndim - 2))
    noisy[name] = ((1 - tt) * x + tt * rng.uniform(-1, 1, x.shape)).astype(np.float32)
  # Noise on the parameters: with the zeros of adaLN-zero, errors in a block would not show.
  params = init_params(experiment, jax.random.key(seed))
  params = jax.tree.map(lambda p: p + 0.02 * rng.standard_normal(p.shape).astype(np.float32), params)
  model, context = experiment.network, Context(text=jnp.asarray(batch.context.text))

  def loss(params):
    output = model.apply(params, noisy, t, context)
    return sum(jnp.mean(jnp.square(output[name] - batch.clip[name])) for name in output)

  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-4, 0.9, 0.99, weight_decay=0.01))

  @jax.jit
  def jax_step(params, state):
    value, grads = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, value, optax.tree.norm(grads)

  flat = by_path(model.declared, jax.device_get(params))
  twin = Twin(model, traverse_util.unflatten_dict(jax.device_get(flat), sep="/"))
  tensors = {name: torch.from_numpy(x) for name, x in noisy.items()}
  clean = {name: torch.from_numpy(x) for name, x in batch.clip.items()}
  words, times = torch.from_numpy(batch.context.text).long(), torch.from_numpy(t)
  torch_optimizer = torch.optim.AdamW(twin.parameters(), 1e-4, (0.9, 0.99), weight_decay=0.01)

  def torch_step():
    torch_optimizer.zero_grad()
    output = twin(tensors, times, words)
    value = sum(torch.mean(torch.square(output[name] - clean[name])) for name in output)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
    torch_optimizer.step()
    return float(value.detach()), float(norm)

  state = optimizer.init(params)
  durations = {"jax": [], "torch": []}
  for turn in range(WARM + ROUNDS):
    began = time.perf_counter()
    params, state, value, norm = jax.block_until_ready(jax_step(params, state))
    middle = time.perf_counter()
    theirs = torch_step()
    ended = time.perf_counter()
    if turn == 0:
      ours = float(value), float(norm)
      print(f"(loss, gradient norm) of the first step: JAX {ours}, PyTorch {theirs}")
      same = np.allclose(theirs, ours, rtol=1e-3)
    if turn >= WARM:
      durations["jax"].append(middle - began)
      durations["torch"].append(ended - middle)
  medians = {name: statistics.median(values) for name, values in durations.items()}
  ratio = medians["jax"] / medians["torch"]
  for name, value in medians.items():
    print(f"{name:6} {1000 * value:.0f} ms per step (median of {ROUNDS})")
  return {
    "value": ratio,
    "bar": 0.90,
    "holds": bool(same and ratio <= 0.90),
    "same_mathematics": bool(same),
    "seconds": medians,
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
  }
