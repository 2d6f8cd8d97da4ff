"""The training loop: one, for every config, on one device or many."""

import collections
import contextlib
import functools
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from stale_jax.checkpoints.posthoc_ema import drop_snapshots_after, save_snapshots
from stale_jax.checkpoints.store import Checkpointer, model_at, read_config
from stale_jax.checkpoints.weights import save_weights
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.files import FULL, at, write_whole
from stale_jax.hosts import leads, whole
from stale_jax.training.ema import Ema
from stale_jax.training.experiment import Experiment
from stale_jax.training.feed import Feed
from stale_jax.training.metrics import Metrics, Unheard
from stale_jax.training.profile import Profile
from stale_jax.training.program import training_program
from stale_jax.training.state import State, begin_from


def train_loop(
  experiment: Experiment,
  config: Mapping[str, Any],
  workdir: str | Path,
  profile: tuple[int, int] | None = None,
) -> State:
  """Trains `experiment` in `workdir`, or goes on where the last call there stopped.

  A run that is killed at any moment and started again ends with the very parameters of
  one that was not, its averaged weights in `weights.safetensors`. SIGTERM saves and
  returns early. Several processes (`hosts.together`) each call this, with one folder that all of
  them see; what comes to one of them makes all save the same step.

  Args:
    experiment: what `config` describes.
    config: plain data, which is kept beside what is trained.
    workdir: the run's folder: a path, or gs://BUCKET/FOLDER.
    profile: (start, stop), of which steps to write a trace to the folder's `profile`.

  Raises:
    UserError: bad config, an unwritable folder, a full disk, a loss that is not finite, and the like.
  """
  workdir = at(workdir)
  try:
    with _sigterm() as stopping:
      return _train(experiment, config, workdir, stopping, profile)
  except OSError as error:
    if error.errno not in FULL:
      raise
    raise UserError(
      f"cannot write to {workdir}: {error.strerror}; what was saved before is whole."
    ) from error


def _train(
  experiment: Experiment,
  config: Mapping[str, Any],
  workdir: Path,
  stopping: Callable[[int], bool],
  window: tuple[int, int] | None,
) -> State:
  training = experiment.training.settings
  if getattr(experiment.network, "forms", None) == "hard":
    raise UserError("model.forms=hard is for sampling, and its gates learn nothing: train with concrete.")
  if jax.process_count() != training.processes:
    raise UserError(f"training.processes={training.processes}, and JAX has {jax.process_count()}.")
  if window and window[1] > training.steps:
    raise UserError(
      f"the steps to trace, {window[0]}:{window[1]}, are not within training.steps={training.steps}."
    )
  say = functools.partial(print, flush=True) if leads() else _silent
  program = training_program(experiment)
  like = program.state
  # Weights that are not there or do not fit are found out before anything is written.
  begun = (workdir / "checkpoints").exists()
  given = _given_params(training.init_from, like) if training.init_from and not begun else None
  checkpoints = Checkpointer(workdir, training.keep)
  _keep_config(config, workdir)

  feed = Feed(experiment, program)

  # The order of initialisation: this run's own checkpoint, then given weights, then a draw.
  if restored := checkpoints.restore(like, say):
    state, data = restored
    feed.set_state(data)
    say(f"resuming {workdir} at step {int(state.step)}.")
  else:
    state = program.fresh()
    if given := given or (training.init_from and _given_params(training.init_from, like)):
      shardings = jax.tree.map(lambda x: x.sharding, like.params)
      # Copies of their own: the step takes the memory of each.
      place = jax.jit(functools.partial(jax.tree.map, jnp.copy), out_shardings=shardings)
      state = begin_from(state, lambda: place(given))
    checkpoints.prepare(state)

  step = int(state.step)
  if window and window[1] <= step:
    raise UserError(f"the steps to trace, {window[0]}:{window[1]}, are done: {workdir} is at step {step}.")
  profile = Profile(workdir / "profile", window if leads() else None)
  metrics = Metrics(workdir, step, training.steps) if leads() else Unheard()
  drop_snapshots_after(workdir, step)
  snapshot_steps = experiment.training.ema.snapshot_steps(training.steps)
  indices = collections.deque(maxlen=training.log_every)
  compiled: set[tuple] = set()  # Shapes of batches whose step is.
  if step < training.steps:
    say("compiling the training step: half a minute for the shipped model, the first time.")
    # What was measured of these weights holds no longer.
    for measured in ("evaluation.json", "excavation.json"):
      (workdir / measured).unlink(missing_ok=True)
    feed.advance()
  with contextlib.closing(checkpoints), contextlib.closing(metrics), contextlib.closing(profile):
    with jax.transfer_guard("disallow"):
      while step < training.steps and not stopping(step):
        profile.before(step)
        indices.append((step, feed.ahead.index))
        shapes = tuple(x.shape for x in feed.ahead.clip.values())
        with contextlib.nullcontext() if shapes in compiled else metrics.lost():
          state, scalars = program.step(state, feed.ahead)
          if shapes not in compiled:
            jax.block_until_ready(scalars)
            compiled.add(shapes)
        step += 1
        with metrics.waiting_for_data():
          feed.advance()  # While the device is at work.
        profile.after(step, scalars)
        last = step == training.steps
        saving = last or step % training.checkpoint_every == 0
        excavated = step in snapshot_steps
        if step % training.log_every == 0 or saving or excavated:
          # The only place that waits for the device.
          bad_step = int(jax.device_get(state.bad_step))
          if bad_step >= 0:
            raise UserError(_not_finite(bad_step, whole(dict(indices)[bad_step]), experiment, checkpoints))
          if step % training.log_every == 0 or last:
            metrics.write(step, {k: float(v) for k, v in jax.device_get(scalars).items()})
        # Before the checkpoint: what a run resumes from has its snapshots.
        with metrics.lost() if excavated or saving else contextlib.nullcontext():
          if excavated:
            tracks = dict(zip(experiment.training.ema.kept, state.tracks, strict=True))
            save_snapshots(workdir, step, tracks, config)
          if saving:
            metrics.publish()
            checkpoints.save(step, state, feed.state)
      if step < training.steps and int(jax.device_get(state.bad_step)) < 0:
        checkpoints.save(step, state, feed.state)
        say(f"\nSIGTERM: saved step {step} in {workdir}; the same command goes on from there.")
  if step == training.steps:
    save_weights(workdir / "weights.safetensors", state.ema, config)
  return state


def _given_params(name: str, like: State):
  """The weights `name` stands for.

  Raises:
    UserError: there are none, or they are of another model.
  """
  params, _ = model_at(name)
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
  if leads():
    write_whole(path, json.dumps(plain, indent=2))


def _meaning(config: Mapping[str, Any]) -> dict[str, Any]:
  """What must stay as it is while a run goes on: not what is taken down, which must be obeyed at any time."""
  sections = {section: config.get(section) for section in ("senses", "process", "model", "cringe")}
  return {
    **sections,
    "source": _without_takedown(config.get("source")),
    "ema.tracks": construct(Ema, config.get("ema", {}), "ema").kept,
    "optimizer.name": config.get("optimizer", {}).get("name", "adamw"),
  }


def _without_takedown(section: Any) -> Any:
  """The section of a source, which may hold another's, but for its `takedown`."""
  if not isinstance(section, Mapping):
    return section
  return {key: _without_takedown(value) for key, value in section.items() if key != "takedown"}


def _not_finite(step: int, indices: np.ndarray, experiment: Experiment, checkpoints) -> str:
  """Names the step, the examples (and those that hold a NaN themselves) and the last good checkpoint."""
  batch = [int(i) for i in indices]
  broken = [
    i for i in batch if not all(np.isfinite(x).all() for x in experiment.data.source[i]["clip"].values())
  ]
  checkpoints.close()
  latest = checkpoints.latest()
  good = "there is no checkpoint yet" if latest is None else f"the last good checkpoint is step {latest}"
  cause = f"examples {broken} hold values that are not finite" if broken else "all its examples are finite"
  return f"the loss is not finite at step {step + 1}, batch of examples {batch}: {cause}; {good}."


def _silent(*_) -> None:
  """What a process says that does not speak."""


@contextlib.contextmanager
def _sigterm():
  """A function of the step, to be called at each: whether it is to be saved, SIGTERM having come."""
  if jax.distributed.is_initialized():
    # JAX hears the signal; after one process has, all are told of the same step.
    yield multihost_utils.reached_preemption_sync_point
    return
  came = []
  try:
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
  except ValueError:  # Not the main thread: somebody else handles signals.
    yield lambda step: False
    return
  try:
    yield lambda step: bool(came)
  finally:
    signal.signal(signal.SIGTERM, before)
