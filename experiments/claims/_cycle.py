"""A small cycle on digits, trained within a claim, and its loss on held-out clips."""

CLIPS, TIMES = 512, (0.15, 0.4, 0.65, 0.8, 0.9, 0.95)


def config(seed: int, canvas: int = 12, **model) -> dict:
  """Sight alone, nine tokens (sixteen on a canvas of 16) for each of two times, two blocks."""
  from configs import digits

  config = digits.get_config()
  config.seed = seed
  config.senses = ("sight",)
  config.source.update({"canvas": canvas, "frames": 4, "patch": 2})
  config.objective.weights = {}
  sizes = {"width": 64, "text_width": 32, "condition_width": 64, "depth": 2, "heads": 4}
  config.model.update({**sizes, **model})
  config.training.update({"batch": 64, "steps": 1500})
  config.optimizer.warmup = 100
  return config.to_dict()


def train(config: dict):
  """(experiment, averaged parameters); says how the loss falls."""
  import jax

  from stale_jax.data import loader
  from stale_jax.training import build
  from stale_jax.training.loop import init_params
  from stale_jax.training.state import initial_state
  from stale_jax.training.step import make_loss, make_step

  e = build(config)
  key_init, key_run = jax.random.split(jax.random.key(e.seed))
  optimizer = e.optimizer.build(e.training.steps)
  state = initial_state(init_params(e, key_init), optimizer, key_run)
  loss = make_loss(e.model, e.process, e.density, e.objective, e.training.caption_dropout)
  step = jax.jit(make_step(loss, optimizer, e.ema), donate_argnums=0)
  settings = {"batch": e.training.batch, "text_length": e.model.text_length, "seed": e.seed}
  batches = iter(loader(e.source, e.senses, **settings))
  for number in range(e.training.steps):
    state, metrics = step(state, next(batches))
    if number % 100 == 99:
      print(f"step {number + 1:5}  loss {float(metrics['loss']):.4f}", flush=True)
  return e, state.ema


def held_out(experiment, model, params, seed: int):
  """The loss of each of CLIPS test clips, [clips], mean over TIMES; its noise is the same for every model."""
  import dataclasses

  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.data import collate

  e = experiment
  source = dataclasses.replace(e.source, split="test")
  batch = collate([source[i] for i in range(CLIPS)], e.senses, e.model.text_length)

  @jax.jit
  def at(params, t):
    x = batch.clip["sight"]
    times = jnp.full(x.shape[:2], t)
    key = jax.random.fold_in(jax.random.key(seed), (1000 * t).astype(jnp.int32))
    corruption = e.process.corrupt(key, jnp.asarray(x), times)
    output = model.apply(params, {"sight": corruption.x_t}, times, batch.context)["sight"]
    return jnp.mean(e.process.loss(output, corruption, times), tuple(range(1, x.ndim)))

  return np.mean([np.asarray(at(params, jnp.float32(t)), np.float64) for t in TIMES], 0)
