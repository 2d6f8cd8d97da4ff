"""Small models with and without the bias of context, trained alike, for the claims about ContextDiff.

python -m experiments.claims._context docs/results/contextdiff_helps_slow.json docs/context.svg
draws the shares that the claim has measured.
"""

import functools
from typing import Any, NamedTuple

STEPS, BATCH, CLIPS = 3000, 32, 8192
RATE, PENALTY, DECAY = 2e-3, 0.05, 0.995
SAMPLED, SOLVER_STEPS, SHIFT = 192, 10, 3.0


class Trained(NamedTuple):
  """A denoiser and its relation, after training.

  Attributes:
    experiment: the config, built.
    relation: the relational network.
    params: "network" and "relation" -> the moving averages of the parameters.
    bias: root mean square of h on training clips; 0 for the model without bias.
  """

  experiment: Any
  relation: Any
  params: Any
  bias: float


@functools.cache
def trained(seed: int, has_bias: bool) -> Trained:
  """Trains a denoiser of digits, jointly with a relation if `has_bias`."""
  import jax
  import jax.numpy as jnp
  import numpy as np
  import optax

  from experiments.claims._small import digits
  from stale_jax.clip import Batch, Context
  from stale_jax.config import build
  from stale_jax.models.parameters import draw
  from stale_jax.models.relation import RelationNetwork
  from stale_jax.objectives import predict
  from stale_jax.text import tokenize
  from stale_jax.training.initial import init_params

  experiment = build(digits(seed, canvas=12, frames=4, patch=2, depth=3))
  network, source, diffusion = experiment.network, experiment.data.source, experiment.diffusion
  relation = RelationNetwork(senses=experiment.data.senses, text_width=network.text_width, width=64)
  examples = [source[i] for i in range(CLIPS)]
  sight = jnp.asarray(np.stack([example["clip"]["sight"] for example in examples]))
  text = jnp.asarray(tokenize([example["caption"] for example in examples], network.text_length))
  key = jax.random.key(seed)
  params = {"network": init_params(experiment, key), "relation": draw(relation.declared, key)}
  optimizer = optax.adam(optax.warmup_cosine_decay_schedule(0.0, RATE, 100, STEPS, RATE / 20))

  def loss(params, key):
    key_rows, key_noise = jax.random.split(key)
    rows = jax.random.randint(key_rows, (BATCH,), 0, CLIPS)
    relate, denoiser = functions(network, relation, params, has_bias)
    batch = Batch(clip={"sight": sight[rows]}, context=Context(text=text[rows]), index=rows)
    parts = denoiser, diffusion.process, diffusion.time_sampler, batch, key_noise
    prediction = predict(*parts, relate=relate)
    output, corruption = prediction.output["sight"], prediction.corruption["sight"]
    loss = jnp.mean(diffusion.process.loss(output, corruption, prediction.t))
    return loss + PENALTY * prediction.bias, prediction.bias

  @jax.jit
  def train(params):
    def step(number, carry):
      params, state, mean, _ = carry
      gradient, square = jax.grad(loss, has_aux=True)(params, jax.random.fold_in(key, number))
      updates, state = optimizer.update(gradient, state)
      params = optax.apply_updates(params, updates)
      return params, state, optax.incremental_update(params, mean, 1 - DECAY), square

    return jax.lax.fori_loop(0, STEPS, step, (params, optimizer.init(params), params, jnp.float32(0)))

  _, _, mean, square = train(params)
  return Trained(experiment, relation, mean, float(square) ** 0.5)


def functions(network, relation, params, has_bias: bool, turn: int = 0):
  """(relation, denoiser) of a model; the relation sees the caption of the clip `turn` places before."""
  import jax
  import jax.numpy as jnp

  def relate(clip, context):
    if not has_bias:
      return jax.tree.map(jnp.zeros_like, clip)
    encoded = network.encode_captions(params["network"], context).encoded
    return relation(params["relation"], clip, jax.tree.map(lambda x: jnp.roll(x, turn, 0), encoded))

  return relate, functools.partial(network.apply, params["network"])


def accuracy(model: Trained, has_bias: bool, seed: int, turn: int = 0) -> float:
  """The share of right labels (digit, colour, direction) in sampled clips; see `functions` for `turn`."""
  import dataclasses

  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.evaluation.reader import fitted_reader
  from stale_jax.processes import grid
  from stale_jax.sampling import Reverse, prior
  from stale_jax.sampling.contextual import contextual_sample
  from stale_jax.text import tokenize

  experiment = model.experiment
  network, source, process = experiment.network, experiment.data.source, experiment.diffusion.process
  test = dataclasses.replace(source, split="test", seed=seed)
  examples = [test[i] for i in range(SAMPLED)]
  text = jnp.asarray(tokenize([example["caption"] for example in examples], network.text_length))
  times = grid(SOLVER_STEPS, SHIFT)
  keys = jax.vmap(jax.random.key)(jnp.arange(SAMPLED) + 1000 * seed)

  @jax.jit
  def run(params):
    relate, denoiser = functions(network, model.relation, params, has_bias, turn)
    reverse = Reverse(
      process=process,
      denoiser=denoiser,
      times=jnp.broadcast_to(times[:, None, None], (len(times), SAMPLED, source.frames)),
      context=Context(text=text),
      keys=keys,
    )
    return contextual_sample(reverse, relate, prior(process, experiment.data.senses, source.frames, keys))

  reading = fitted_reader(dataclasses.replace(source, split="train"))(np.asarray(run(model.params)["sight"]))
  names = ("digit", "colour", "direction")
  wanted = {name: np.array([example["labels"][name] for example in examples]) for name in names}
  return float(np.mean([reading.labels[name] == wanted[name] for name in names]))


def draw_shares(results: str, out: str) -> None:
  """Draws the shares of right labels of all models and seeds, from the file of the claim's results."""
  import json
  from pathlib import Path

  from stale_jax.evaluation.table import estimates
  from stale_jax.files import write_whole
  from stale_jax.media.dots import dots

  rows = json.loads(Path(results).read_text())["seeds"]
  names = {"without": "no bias", "with": "bias", "shuffled": "wrong captions in r", "left out": "r left out"}
  shares = {
    text: {seed: {"right labels": row[name]} for seed, row in enumerate(rows)} for name, text in names.items()
  }
  write_whole(out, dots(shares, estimates(shares)))


if __name__ == "__main__":
  import sys

  draw_shares(*sys.argv[1:])
