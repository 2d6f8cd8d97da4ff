"""Sends batches to the devices: each process reads its own rows, one batch ahead of the step."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from stale_jax.clip import Batch
from stale_jax.data import Loader, loader
from stale_jax.training.experiment import Experiment
from stale_jax.training.program import TrainingProgram
from stale_jax.training.steps.train_step import CLIP, MICRO, Needs, needed


def batches_of(experiment: Experiment, needs: Needs, rows: Int[np.ndarray, "rows"] | None = None) -> Loader:
  """The endless loader of an experiment's batches with the optional parts `needs`; `rows`: see `loader`."""
  return loader(
    experiment.data.source,
    experiment.data.senses,
    batch=experiment.training.settings.batch,
    text_length=experiment.network.text_length,
    seed=experiment.training.seed,
    rows=rows,
    micro=experiment.network.micro if MICRO in needs else (),
    clips=CLIP in needs,
    workers=experiment.training.settings.workers,
  )


class Feed:
  """The batches of an experiment, sharded like `program.batch`, for buckets of any shape.

  Each process reads only the rows of a batch that its own devices need. This holds for every mesh.

  Attributes:
    ahead: the next batch, whose transfer to the devices has begun.
    state: the state of the data iterator, as JSON, from which `ahead` and all later batches follow.
  """

  def __init__(self, experiment: Experiment, program: TrainingProgram):
    self._sharding = program.batch.index.sharding
    self._needs = program.needs
    size = experiment.training.settings.batch
    where = self._sharding.addressable_devices_indices_map((size,))
    rows = np.unique(np.concatenate([np.arange(size)[index] for index in where.values()]))
    # Row of the global batch -> row of the part that this process reads; -1 if it does not read the row.
    self._local_row = np.full(size, -1)
    self._local_row[rows] = np.arange(len(rows))
    self._batches = iter(batches_of(experiment, program.needs, rows))

  def set_state(self, state: Any) -> None:
    """Continues from the `state` of an earlier feed, which may have had another number of processes."""
    self._batches.set_state(state)

  def advance(self) -> None:
    """Starts the transfer of the next batch. It waits for the data, but not for any device."""
    self.state = self._batches.get_state()
    self.ahead: Batch = jax.tree.map(self._send, needed(next(self._batches), self._needs))

  def close(self) -> None:
    """Ends the threads and workers that read batches."""
    self._batches.close()

  def _send(self, read: np.ndarray) -> jax.Array:
    shape = (len(self._local_row), *read.shape[1:])
    where = self._sharding.addressable_devices_indices_map(shape)
    parts = [jax.device_put(read[self._local_row[rows]], device) for device, (rows, *_) in where.items()]
    return jax.make_array_from_single_device_arrays(shape, self._sharding, parts)
