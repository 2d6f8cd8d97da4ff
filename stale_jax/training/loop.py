"""The training loop, for every kind of training, on one device or many."""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from stale_jax.checkpoints.adapter_file import FILE, save_adapter
from stale_jax.checkpoints.config_file import write_config
from stale_jax.checkpoints.posthoc_ema import drop_snapshots_after, save_snapshots
from stale_jax.checkpoints.store import Checkpointer
from stale_jax.checkpoints.weights import save_weights
from stale_jax.data.captions import describe_captions
from stale_jax.errors import UserError
from stale_jax.files import FULL, AnyPath, at
from stale_jax.hosts import leads, spread
from stale_jax.mesh import on_host
from stale_jax.models.adapters import merge
from stale_jax.progress import Stage
from stale_jax.training.absent import AbsentSenses
from stale_jax.training.begin import first_state, load_params
from stale_jax.training.experiment import Experiment
from stale_jax.training.feed import Feed
from stale_jax.training.lock import locked
from stale_jax.training.metrics import Evaluation, Metrics, NoMetrics
from stale_jax.training.operations import step_flops
from stale_jax.training.preemption import preemption
from stale_jax.training.profile import Profile
from stale_jax.training.program import TrainingProgram, check_layout, training_program
from stale_jax.training.run_config import check_config
from stale_jax.training.run_data import keep_manifest
from stale_jax.training.state import Skipped, State


def train_loop(
  experiment: Experiment,
  config: Mapping[str, Any],
  workdir: str | AnyPath,
  profile: tuple[int, int] | None = None,
  evaluate: Callable[[Any], Evaluation] | None = None,
) -> State:
  """Trains `experiment` in `workdir`, or resumes the run in that folder.

  A run that is killed at any time and started again ends with the same parameters as an uninterrupted run.
  At the end, the averaged weights are written to `weights.safetensors`, or those of an adapter
  (`config.adapter`) to `adapter.safetensors`. On SIGTERM the run saves a checkpoint
  and returns early.

  In a run of several processes (`hosts.join_processes`), each of them calls this function, with a folder that
  all of them can access. SIGTERM to one process makes all processes save the same step.

  Args:
    experiment: the objects that `config` describes.
    config: the config as plain data; it is saved in the folder.
    workdir: the run's folder: a path, or gs://BUCKET/FOLDER.
    profile: (start, stop), a range of steps of which a trace is written to the subfolder `profile`.
    evaluate: (averaged parameters, sharded as in training) -> their evaluation, called by all processes every
      `evaluation.every` steps; None: never.

  Returns:
    The state after the last step.

  Raises:
    UserError: among others, the config is invalid, another run trains in the folder, the folder cannot be
      written, the disk is full, or the loss is not finite.
  """
  workdir = at(workdir)
  try:
    with preemption() as stopping:
      return _train(experiment, config, workdir, stopping, profile, evaluate)
  except OSError as error:
    if error.errno not in FULL:
      raise
    raise UserError(
      f"cannot write to {workdir}: {error.strerror}; any checkpoint saved before is complete."
    ) from error


def _train(
  experiment: Experiment,
  config: Mapping[str, Any],
  workdir: AnyPath,
  stopping: Callable[[int], bool],
  window: tuple[int, int] | None,
  evaluate: Callable[[Any], Evaluation] | None,
) -> State:
  settings, say = experiment.training.settings, _say()
  if jax.process_count() != settings.processes:
    raise UserError(
      f"training.processes={settings.processes}, but JAX runs with {jax.process_count()} process(es)."
    )
  if window and window[1] > settings.steps:
    raise UserError(
      f"the steps to trace, {window[0]}:{window[1]}, are not within training.steps={settings.steps}."
    )
  check_layout(experiment, experiment.training.mesh.build())
  with Stage("preparing the data"):
    experiment.data.source.prepare(spread)
  program = training_program(experiment)
  # Missing or incompatible weights are reported before anything is written.
  wanted = program.state.base or program.state.params
  read = functools.cache(functools.partial(load_params, settings.init_from, wanted))
  if settings.init_from and not (workdir / "checkpoints").exists():
    read()
  with locked(workdir, say) as check_lock:
    check_config(config, workdir)
    keep_manifest(experiment.data.source, workdir, settings.new_data, say)
    # `new_data` applies to this start only, so it is not saved.
    config = {**config, "training": {**config["training"], "new_data": False}}
    checkpoints = Checkpointer(workdir, settings.keep)
    feed = Feed(experiment, program)
    state = first_state(program, checkpoints, feed, settings.init_from, read, say)
    read.cache_clear()
    if leads() and not experiment.is_autoencoder:
      for line in describe_captions(experiment.data.source.captions(), experiment.network.text_length):
        say(line)
    step = int(state.step)
    if window and window[1] <= step:
      raise UserError(
        f"the steps to trace, {window[0]}:{window[1]}, are done: the run in {workdir} is at step {step}; "
        "choose later steps."
      )
    # The checkpoint fits this config, which may therefore replace that of an earlier start.
    if leads():
      write_config(workdir / "config.json", config)
    drop_snapshots_after(workdir, step)
    if step < settings.steps:
      # Results for the previous weights are out of date.
      for results in ("evaluation.json", "excavation.json"):
        (workdir / results).unlink(missing_ok=True)
      feed.advance()
    run = _Run(
      experiment=experiment,
      config=config,
      workdir=workdir,
      program=program,
      feed=feed,
      checkpoints=checkpoints,
      metrics=Metrics(workdir, step, settings.steps) if leads() else NoMetrics(),
      profile=Profile(workdir / "profile", window if leads() else None),
      recent=collections.deque(maxlen=settings.log_every),
      snapshot_steps=experiment.training.ema.snapshot_steps(settings.steps),
      say=say,
      flops=functools.cache(functools.partial(step_flops, experiment)),
      evaluate=evaluate,
      check_lock=check_lock,
      absent=AbsentSenses(tuple(sense.name for sense in experiment.data.senses), say),
    )
    state = run.go(state, stopping)
    if int(state.step) == settings.steps:
      check_lock()
      _save_result(experiment, workdir, state, config)
    return state


def _save_result(experiment: Experiment, workdir: AnyPath, state: State, config: Mapping[str, Any]) -> None:
  """Writes the averaged parameters: `weights.safetensors`, or `adapter.safetensors` of an adapter."""
  adapter = experiment.training.adapter
  if adapter is None:
    save_weights(workdir / "weights.safetensors", state.ema, config)
    return
  about = {"adapter": config["adapter"], "base": config["training"]["init_from"]}
  save_adapter(workdir / FILE, adapter, experiment.network.declared, state.ema, about)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Run:
  """A run, from its initial or restored state to its last step.

  Attributes:
    experiment: what is trained.
    config: the config as plain data.
    workdir: the run's folder.
    program: the compiled step.
    feed: the batches.
    checkpoints, metrics, profile: writers of the run's files.
    recent: (step, indices of its examples) of the last `log_every` steps, to name the examples of a step
      whose loss is not finite.
    snapshot_steps: steps after which the power-function averages are written.
    say: prints a line for the user.
    flops: returns the model FLOPs of a step, or None if they are not counted.
    evaluate: evaluates averaged parameters; None: they are not evaluated.
    check_lock: raises UserError if another run has taken over the folder.
    absent: the senses that no example has.
    compiled: shapes of the batches for which the step has been compiled.
  """

  experiment: Experiment
  config: Mapping[str, Any]
  workdir: AnyPath
  program: TrainingProgram
  feed: Feed
  checkpoints: Checkpointer
  metrics: Metrics | NoMetrics
  profile: Profile
  recent: collections.deque
  snapshot_steps: frozenset[int]
  say: Callable[[str], None]
  flops: Callable[[], float | None]
  evaluate: Callable[[Any], Evaluation] | None
  check_lock: Callable[[], None]
  absent: AbsentSenses
  compiled: set[tuple] = dataclasses.field(default_factory=set)

  def go(self, state: State, stopping: Callable[[int], bool]) -> State:
    """Trains until the last step, or until `stopping` returns True."""
    settings = self.experiment.training.settings
    step, steps = int(state.step), settings.steps
    with contextlib.ExitStack() as stack:
      for part in (self.checkpoints, self.metrics, self.profile, self.feed):
        stack.enter_context(contextlib.closing(part))
      stack.enter_context(jax.transfer_guard("disallow"))
      while step < steps and not stopping(step):
        state, scalars = self._update(step, state)
        step += 1
        with self.metrics.waiting_for_data():
          self.feed.advance()  # Meanwhile the device computes the step.
        self.profile.after(step, scalars)
        self._log(step, state, scalars)
        self._evaluate(step, state)
        self._save(step, state)
      if step < steps and int(jax.device_get(state.skipped.longest)) <= settings.skips:
        self.check_lock()
        self.checkpoints.save(step, state, self.feed.state)
        self.say(f"\nSIGTERM: saved step {step} in {self.workdir}; run the same command to resume.")
    return state

  def _update(self, step: int, state: State) -> tuple[State, dict[str, jax.Array]]:
    """Takes one step. Waits for the device only if the step must be compiled for a new shape of batch.

    Returns:
      The state after the step, and its scalar metrics.
    """
    self.profile.before(step)
    self.recent.append((step, self.feed.ahead.index))
    shapes = tuple(x.shape for x in self.feed.ahead.clip.values())
    if shapes in self.compiled:
      return self.program.step(state, self.feed.ahead)
    with self.metrics.lost(), Stage("compiling the training step"):
      state, scalars = self.program.step(state, self.feed.ahead)
      jax.block_until_ready(scalars)
    self.compiled.add(shapes)
    return state, scalars

  def _log(self, step: int, state: State, scalars: dict[str, jax.Array]) -> None:
    """Writes the scalars, and checks that the losses were finite, at the steps where this is due.

    Apart from compiling and saving, this is the only place where the loop waits for the device.
    """
    settings = self.experiment.training.settings
    logging = step == settings.steps or step % settings.log_every == 0
    if not (logging or self._saving(step) or step in self.snapshot_steps):
      return
    skipped = jax.tree.map(int, jax.device_get(state.skipped))
    if skipped.last in dict(self.recent):
      self._report_skipped(skipped)
    if logging:
      scalars = {k: float(v) for k, v in jax.device_get(scalars).items()}
      self.absent.logged(scalars, self._is_last(step))
      self.metrics.write(step, {**scalars, "skipped_steps": skipped.total}, self.flops())

  def _evaluate(self, step: int, state: State) -> None:
    """Evaluates the averaged parameters, at the steps where it is due. Training does not depend on it."""
    every = self.experiment.training.evaluation.every
    if self.evaluate is None or not every or not (step % every == 0 or self._is_last(step)):
      return
    with self.metrics.lost(), jax.transfer_guard("allow"):
      adapter, params = self.experiment.training.adapter, state.ema
      if adapter is not None:
        params = merge(state.base, [(adapter.scaled(params), 1.0)])
      found = self.evaluate(params)  # By all processes, on the mesh of training.
      self.metrics.evaluated(step, found)

  def _save(self, step: int, state: State) -> None:
    """Writes snapshots of the power-function averages and a checkpoint, at the steps where they are due."""
    if not (self._saving(step) or step in self.snapshot_steps):
      return
    self.check_lock()
    with self.metrics.lost():
      # Snapshots are written before the checkpoint, so that a run that resumes from it has them.
      if step in self.snapshot_steps:
        tracks = dict(zip(self.experiment.training.ema.kept, state.tracks, strict=True))
        save_snapshots(self.workdir, step, tracks, self.config)
      if self._saving(step):
        self.metrics.publish()
        self.checkpoints.save(step, state, self.feed.state)

  def _saving(self, step: int) -> bool:
    return self._is_last(step) or step % self.experiment.training.settings.checkpoint_every == 0

  def _is_last(self, step: int) -> bool:
    return step == self.experiment.training.settings.steps

  def _report_skipped(self, skipped: Skipped) -> None:
    """Prints the last skipped step, its examples, and those examples that hold values that are not finite.

    Raises:
      UserError: more steps in a row were skipped than `training.skips` allows.
    """
    step = skipped.last
    source, indices = self.experiment.data.source, on_host(dict(self.recent)[step])
    batch = [int(i) for i in indices]
    broken = [i for i in batch if not all(np.isfinite(x).all() for x in source[i]["clip"].values())]
    cause = f"examples {broken} hold values that are not finite" if broken else "all its examples are finite"
    text = f"the loss is not finite at step {step + 1}, batch of examples {batch}: {cause}"
    self.recent.clear()  # Each skipped step is reported once.
    allowed = self.experiment.training.settings.skips
    if skipped.longest <= allowed:
      self.say(f"skipped {skipped.total} steps so far; {text}.")
      return
    self.checkpoints.close()
    latest = self.checkpoints.latest()
    good = "there is no checkpoint yet" if latest is None else f"the last good checkpoint is step {latest}"
    limit = f"{skipped.longest} steps in a row, and training.skips allows {allowed}; " if allowed else ""
    raise UserError(f"{text}; {limit}{good}.")


def _say() -> Callable[[str], None]:
  """Returns a function that prints a line for the user. Of several processes, only process 0 prints."""
  return functools.partial(print, flush=True) if leads() else lambda _: None
