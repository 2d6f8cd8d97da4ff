"""Fits the reader of cartoons on real clips."""

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key
from optax.contrib import MuonDimensionNumbers, muon

from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.data.sources.cartoons.labels import LABELS
from stale_jax.evaluation.cartoons.network import Network, example
from stale_jax.evaluation.cartoons.pool import Pool
from stale_jax.evaluation.cartoons.questions import (
  OF_A_FIGURE,
  QUESTIONS,
  SIDE,
  TOUCHED,
  shows_direction,
)
from stale_jax.files import write_whole

_SHIFT = 3  # Greatest shift of a picture in pixels.
_PER_CHUNK = 32  # Steps until a new chunk of clips is drawn.
_FIRST_CHUNKS, _MOST_CHUNKS = 2, 64
_MIRRORED = np.array(
  [
    TOUCHED.index({"left": "right", "right": "left"}.get(side, side) + rest)
    for side, rest in ((part.split()[0], part[len(part.split()[0]) :]) for part in TOUCHED)
  ]
)
_PAIRS = np.array([action in PAIR for action in LABELS["action"]])
_SHOWS_DIRECTION = np.array([shows_direction(action) for action in LABELS["action"]])
Batch = dict[str, Array]


class State(NamedTuple):
  """Parameters, their moving average, the state of the optimizer, and the number of steps so far."""

  params: Any
  average: Any
  optimizer: Any
  step: Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
  """How the reader is fitted.

  Attributes:
    steps: number of steps; the learning rate falls to 0 in the last third.
    batch: clips of a step.
    seed: of all that is random.
    learning_rate: before it falls.
    log_every, keep_every: steps between two reports, and between two checkpoints.
  """

  steps: int = 6000
  batch: int = 32
  seed: int = 0
  learning_rate: float = 3e-3
  log_every: int = 50
  keep_every: int = 100

  def begin(self) -> State:
    """The state before the first step."""
    params = jax.jit(Network().init)(jax.random.key(self.seed), example())
    return State(
      params, jax.tree.map(jnp.copy, params), self._optimizer.init(params), jnp.zeros((), jnp.int32)
    )

  @property
  def _optimizer(self) -> optax.GradientTransformation:
    falls, rises = max(1, self.steps // 3), max(1, min(50, self.steps // 4))
    schedule = optax.join_schedules(
      [
        optax.linear_schedule(0.0, self.learning_rate, rises),
        optax.constant_schedule(self.learning_rate),
        optax.linear_schedule(self.learning_rate, 0.0, falls),
      ],
      [rises, self.steps - falls],
    )
    return optax.chain(
      optax.clip_by_global_norm(1.0),
      muon(schedule, weight_decay=0.02, consistent_rms=0.2, muon_weight_dimension_numbers=_matrices),
    )

  def step(self, state: State, batch: Batch) -> tuple[State, dict[str, Array]]:
    """One step on clips of a pool; returns the new state, and accuracies and losses."""
    key = jax.random.fold_in(jax.random.key(self.seed), state.step)
    (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, augmented(batch, key))
    updates, optimizer = self._optimizer.update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(0.995, (1.0 + state.step) / (10.0 + state.step))
    average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
    return State(params, average, optimizer, state.step + 1), metrics

  def run(self, folder: Path, log: Callable[[int, dict[str, float]], None], keep: Callable[[Any], None]):
    """Fits, and resumes if `folder` has a checkpoint.

    Args:
      folder: of the pool and of the checkpoint.
      log: receives the number of steps and the means of the metrics since the last report.
      keep: receives the averaged parameters, at each checkpoint and at the end.

    Returns:
      The averaged parameters.
    """
    pool, path = Pool(folder / "pool"), folder / "checkpoint"
    state = pickle.loads(path.read_bytes()) if path.exists() else self.begin()
    step, waiting = jax.jit(self.step, donate_argnums=0), []
    for number in range(int(state.step), self.steps):
      rng = np.random.default_rng([self.seed, number])
      chunks = min(_FIRST_CHUNKS + number // _PER_CHUNK, _MOST_CHUNKS)
      state, metrics = step(state, pool.batch(rng, chunks, self.batch))
      waiting.append(metrics)
      done = number + 1
      if done % self.log_every == 0:
        log(done, {name: float(np.mean([m[name] for m in waiting])) for name in metrics})
        waiting = []
      if done % self.keep_every == 0 or done == self.steps:
        write_whole(path, pickle.dumps(jax.device_get(state)))
        keep(jax.device_get(state.average))
    return jax.device_get(state.average)


def _matrices(params):
  """Which parameters are orthogonalised: kernels within the network, not its ends."""

  def one(path, array):
    names = "/".join(str(part.key) for part in path)
    if "kernel" not in names or any(end in names for end in ("answer", "events", "balance", "queries")):
      return None
    return MuonDimensionNumbers(tuple(range(array.ndim - 1)), array.ndim - 1)

  return jax.tree_util.tree_map_with_path(one, params)


def augmented(batch: Batch, key: Key[Array, ""]) -> Batch:
  """Mirrors, shifts, blurs and tints clips, and adds noise; answers stay true. Sight becomes floats."""
  n = len(batch["sight"])
  keys = jax.random.split(key, 5)
  sight = batch["sight"].astype(jnp.float32) / 127.5 - 1
  batch = {**batch, "sight": sight, "events": batch["events"].astype(jnp.float32)}
  batch = mirrored(batch, jax.random.bernoulli(keys[0], 0.5, (n,)))
  sight = batch["sight"]
  pad = ((0, 0), (0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0))
  corners = jax.random.randint(keys[1], (n, 2), 0, 2 * _SHIFT + 1)
  sight = jax.vmap(
    lambda clip, corner: jax.lax.dynamic_slice(clip, (0, *corner, 0), (len(clip), SIDE, SIDE, 3))
  )(jnp.pad(sight, pad, "edge"), corners)
  shape = sight.shape
  halved = sight.reshape(*shape[:2], SIDE // 2, 2, SIDE // 2, 2, 3).mean((3, 5))
  blurred = jnp.broadcast_to(halved[:, :, :, None, :, None], (*shape[:2], SIDE // 2, 2, SIDE // 2, 2, 3))
  share = jnp.maximum(jax.random.uniform(keys[2], (n, 1, 1, 1, 1), minval=-1.5), 0)
  sight += share * (blurred.reshape(shape) - sight)
  tints = 0.06 * jax.random.normal(keys[3], (2, n, 1, 1, 1, 3))
  sight = sight * (1 + tints[0]) + tints[1]
  sight += 0.03 * jax.random.normal(keys[4], shape[1:])  # The same for all clips: random numbers are slow.
  return {**batch, "sight": sight}


def mirrored(batch: Batch, which: Array) -> Batch:
  """Mirrors those clips that `which` marks."""

  def either(mirrored, plain):
    return jnp.where(which.reshape(-1, *[1] * (plain.ndim - 1)), mirrored, plain)

  is_pair = jnp.asarray(_PAIRS)[batch["action"]]
  touched, heard = jnp.split(batch["events"], [len(TOUCHED)], -1)
  found = {
    "sight": either(batch["sight"][:, :, :, ::-1], batch["sight"]),
    "balance": either(batch["balance"] * jnp.array([-1.0, 1.0, -1.0]), batch["balance"]),
    "events": jnp.concatenate([either(touched[..., _MIRRORED], touched), heard], -1),
    "direction": either(1 - batch["direction"], batch["direction"]),
  }
  for factor in OF_A_FIGURE:
    left, right = batch[f"left_{factor}"], batch[f"right_{factor}"]
    found[f"left_{factor}"] = jnp.where(which & is_pair, right, left)
    found[f"right_{factor}"] = jnp.where(which & is_pair, left, right)
  return {**batch, **found}


def loss(params, batch: Batch) -> tuple[Float[Array, ""], dict[str, Array]]:
  """The sum of the cross entropies of all questions, with metrics."""
  logits, events, balance, _ = Network().apply(params, batch["sight"])
  metrics, total = {}, 0.0
  for name in QUESTIONS:
    counts = jnp.ones(len(events))
    if name == "direction":
      counts = jnp.asarray(_SHOWS_DIRECTION, jnp.float32)[batch["action"]]
    if name.startswith("right"):  # Easy for those without a second figure.
      counts = jnp.where(jnp.asarray(_PAIRS)[batch["action"]], 2.0, 0.2)
    each = optax.softmax_cross_entropy_with_integer_labels(logits[name], batch[name])
    total += (counts * each).sum() / len(events)
    right = logits[name].argmax(-1) == batch[name]
    metrics[name] = jnp.where(counts >= 1, right, jnp.nan)
    metrics[name] = jnp.nanmean(metrics[name])
  felt = optax.sigmoid_binary_cross_entropy(events, batch["events"]).sum(-1).mean()
  leans = jnp.square(balance - batch["balance"]).sum(-1).mean()
  total += 2.0 * felt + 2.0 * leans
  return total, {**metrics, "events": felt, "balance": leans, "loss": total}
