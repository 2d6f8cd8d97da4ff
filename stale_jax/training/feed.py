"""Batches on their way to the devices: each process reads its rows, one batch ahead of the step."""

from typing import Any

import jax
import numpy as np

from stale_jax.clip import Batch
from stale_jax.data import loader
from stale_jax.training.experiment import Experiment
from stale_jax.training.program import TrainingProgram
from stale_jax.training.steps.train_step import CLIP, MICRO, needed


class Feed:
  """The batches of an experiment, split over the devices as `program.batch` is, whatever their bucket.

  The devices of a process need some rows of a batch, whatever the mesh; it reads these, and no others.

  Attributes:
    ahead: the next batch, already on its way to the devices.
    state: of the data, as JSON: what `ahead` and all that follows come from.
  """

  def __init__(self, experiment: Experiment, program: TrainingProgram):
    self._sharding = program.batch.index.sharding
    self._needs = program.needs
    size = experiment.training.settings.batch
    where = self._sharding.addressable_devices_indices_map((size,))
    rows = np.unique(np.concatenate([np.arange(size)[index] for index in where.values()]))
    # Row of the whole batch -> row of what is read here.
    self._place = np.full(size, -1)
    self._place[rows] = np.arange(len(rows))
    self._batches = iter(
      loader(
        experiment.data.source,
        experiment.data.senses,
        batch=size,
        text_length=experiment.network.text_length,
        seed=experiment.training.seed,
        rows=rows,
        micro=experiment.network.micro if MICRO in program.needs else (),
        clips=CLIP in program.needs,
      )
    )

  def set_state(self, state: Any) -> None:
    """Goes on from the `state` of another feed, in this or any number of processes."""
    self._batches.set_state(state)

  def advance(self) -> None:
    """Begins to send the next batch; waits for its data, not for any device."""
    self.state = self._batches.get_state()
    self.ahead: Batch = jax.tree.map(self._send, needed(next(self._batches), self._needs))

  def _send(self, read: np.ndarray) -> jax.Array:
    shape = (len(self._place), *read.shape[1:])
    where = self._sharding.addressable_devices_indices_map(shape)
    parts = [jax.device_put(read[self._place[rows]], device) for device, (rows, *_) in where.items()]
    return jax.make_array_from_single_device_arrays(shape, self._sharding, parts)
