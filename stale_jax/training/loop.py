"""The training loop: one, for every config, on one device or many."""

import collections
import contextlib
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stale_jax.compilation import keep_compiled
from stale_jax.config import construct
from stale_jax.data import loader
from stale_jax.errors import UserError
from stale_jax.files import write_whole
from stale_jax.training.build import Experiment, build
from stale_jax.training.checkpoint import Checkpointer, newest_ema, read_config
from stale_jax.training.ema import Ema
from stale_jax.training.excavate import drop_snapshots_after, save_snapshots
from stale_jax.training.metrics import Metrics
from stale_jax.training.program import training_program
from stale_jax.training.state import State
from stale_jax.training.weights import SHIPPED, load_weights, save_weights


def train(config: Mapping[str, Any], workdir: str | Path) -> State:
  """Trains `config` in `workdir`, or goes on where the last call there stopped.

  A run that is killed at any moment and started again ends with the very parameters of
  one that was not, its averaged weights in `weights.safetensors`. SIGTERM saves and
  returns early.

  Raises:
    UserError: bad config, an unwritable folder, a loss that is not finite, and the like.
  """
  with _sigterm() as stopping:
    return _train(config, workdir, stopping)


def _train(config: Mapping[str, Any], workdir: str | Path, stopping: list) -> State:
  keep_compiled()
  experiment = build(config)
  workdir = Path(workdir).absolute()
  training = experiment.training
  program = training_program(experiment)
  like = program.state
  # Weights that are not there or do not fit are found out before anything is written.
  begun = (workdir / "checkpoints").exists()
  given = _given_params(training.init_from, like) if training.init_from and not begun else None
  checkpoints = Checkpointer(workdir, training.keep)
  _keep_config(config, workdir)

  batches = iter(
    loader(
      experiment.source,
      experiment.senses,
      batch=training.batch // jax.process_count(),
      text_length=experiment.model.text_length,
      seed=experiment.seed,
      shard=(jax.process_index(), jax.process_count()),
    )
  )

  # The order of initialisation: this run's own checkpoint, then given weights, then a draw.
  if restored := checkpoints.restore(like, say=print):
    state, data = restored
    batches.set_state(data)
    print(f"resuming {workdir} at step {int(state.step)}.")
  else:
    state = program.fresh()
    if given := given or (training.init_from and _given_params(training.init_from, like)):
      shardings = jax.tree.map(lambda x: x.sharding, like.params)
      params, ema = (jax.device_put(given, shardings) for _ in range(2))
      state = state.replace(params=params, ema=ema)

  step = int(state.step)
  metrics = Metrics(workdir, step, training.steps)
  drop_snapshots_after(workdir, step)
  snapshot_steps = experiment.ema.snapshot_steps(training.steps)
  indices = collections.deque(maxlen=training.log_every)
  sharding = jax.tree.map(lambda x: x.sharding, program.batch)
  if step < training.steps:
    print("compiling the training step: half a minute for the shipped model, the first time.", flush=True)
    # What was measured of these weights holds no longer.
    for measured in ("evaluation.json", "excavation.json"):
      (workdir / measured).unlink(missing_ok=True)
  with contextlib.closing(checkpoints), contextlib.closing(metrics):
    with jax.transfer_guard("disallow"):
      while step < training.steps and not stopping:
        with metrics.waiting_for_data():
          local = next(batches)
        indices.append((step, local.index))
        batch = jax.tree.map(jax.make_array_from_process_local_data, sharding, local)
        state, scalars = program.step(state, batch)
        step += 1
        last = step == training.steps
        saving = last or step % training.checkpoint_every == 0
        excavated = step in snapshot_steps
        if step % training.log_every == 0 or saving or excavated:
          # The only place that waits for the device.
          bad_step = int(jax.device_get(state.bad_step))
          if bad_step >= 0:
            raise UserError(_not_finite(bad_step, dict(indices), experiment, checkpoints))
          if step % training.log_every == 0 or last:
            metrics.write(step, {k: float(v) for k, v in jax.device_get(scalars).items()})
        # Before the checkpoint: what a run resumes from has its snapshots.
        if excavated:
          tracks = dict(zip(experiment.ema.kept, state.tracks, strict=True))
          save_snapshots(workdir, step, tracks, config)
        if saving:
          checkpoints.save(step, state, batches.get_state())
      if stopping and step < training.steps and int(jax.device_get(state.bad_step)) < 0:
        checkpoints.save(step, state, batches.get_state())
        print(f"\nSIGTERM: saved step {step} in {workdir}; the same command goes on from there.")
  if step == training.steps:
    save_weights(workdir / "weights.safetensors", state.ema, config)
  return state


def _given_params(name: str, like: State):
  """The weights `name` stands for.

  Raises:
    UserError: there are none, or they are of another model.
  """
  if Path(name).is_dir():
    params, _ = newest_ema(Path(name))
  else:
    params, _ = load_weights(SHIPPED if name == "shipped" else Path(name))
  wanted = jax.tree.map(lambda x: x.shape, like.params)
  if jax.tree.map(np.shape, params) != wanted:
    raise UserError(f"training.init_from={name}: those weights are of another model; use its config.")
  return params


def _keep_config(config: Mapping[str, Any], workdir: Path) -> None:
  """Writes config.json, once; a resumed run may change its training but not what the weights mean."""
  path = workdir / "config.json"
  plain = json.loads(json.dumps(config))
  if path.exists():
    before, now = _meaning(read_config(path)), _meaning(plain)
    for name, value in before.items():
      if value != now[name]:
        raise UserError(f"{workdir} holds a run with another {name} ({value}); choose another --workdir.")
  write_whole(path, json.dumps(plain, indent=2))


def _meaning(config: Mapping[str, Any]) -> dict[str, Any]:
  """What must stay as it is while a run goes on."""
  sections = {section: config.get(section) for section in ("senses", "source", "process", "model", "cringe")}
  return {**sections, "ema.tracks": construct(Ema, config.get("ema", {}), "ema").kept}


def _not_finite(step: int, indices: Mapping[int, np.ndarray], experiment: Experiment, checkpoints) -> str:
  """Names the step, the examples (and those that hold a NaN themselves) and the last good checkpoint."""
  batch = [int(i) for i in indices[step]]
  broken = [i for i in batch if not all(np.isfinite(x).all() for x in experiment.source[i]["clip"].values())]
  checkpoints.close()
  latest = checkpoints.latest()
  good = "there is no checkpoint yet" if latest is None else f"the last good checkpoint is step {latest}"
  cause = f"examples {broken} hold values that are not finite" if broken else "all its examples are finite"
  return f"the loss is not finite at step {step + 1}, batch of examples {batch}: {cause}; {good}."


@contextlib.contextmanager
def _sigterm():
  """A list that is non-empty once SIGTERM has come."""
  came = []
  try:
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
  except ValueError:  # Not the main thread: somebody else handles signals.
    yield came
    return
  try:
    yield came
  finally:
    signal.signal(signal.SIGTERM, before)
