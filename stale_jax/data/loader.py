"""From a source to batches: shuffled, threaded, and resumable to the exact example."""

from collections.abc import Mapping, Sequence

import grain
import numpy as np
from jaxtyping import Int

from stale_jax.clip import Batch, Context, Sense
from stale_jax.errors import UserError
from stale_jax.text import tokenize


def collate(
  examples: Sequence[dict], senses: Sequence[Sense], text_length: int, labels: Mapping[str, int] | None = None
) -> Batch:
  """Stacks examples. A sense that an example lacks is zeros marked as not real, a label -1.

  Raises:
    UserError: an array whose shape is not [frames, *sense.shape], or a label that is none of
      the `labels[name]` classes.
  """
  frames = next(iter(examples[0]["clip"].values())).shape[0]
  for example in examples:
    for sense in senses:
      shape = np.shape(example["clip"].get(sense.name, np.zeros((frames, *sense.shape))))
      if shape != (frames, *sense.shape):
        raise UserError(
          f"example {example['index']}: {sense.name} has shape {shape}, expected {(frames, *sense.shape)}."
        )
  clip, valid = {}, {}
  for sense in senses:
    blank = np.zeros((frames, *sense.shape), np.float32)
    clip[sense.name] = np.stack([e["clip"].get(sense.name, blank) for e in examples])
    has = np.array([sense.name in e["clip"] for e in examples])
    valid[sense.name] = np.repeat(has[:, None], frames, 1)
  classes = {}
  for name, count in (labels or {}).items():
    classes[name] = np.array([e.get("labels", {}).get(name, -1) for e in examples], np.int32)
    if (bad := (classes[name] < -1) | (classes[name] >= count)).any():
      which = int(bad.argmax())
      raise UserError(
        f"example {examples[which]['index']}: label {name} is {classes[name][which]}, of {count} classes."
      )
  text = tokenize([e["caption"] for e in examples], text_length)
  index = np.array([e["index"] for e in examples], np.int32)
  return Batch(clip=clip, context=Context(text=text, valid=valid), index=index, labels=classes)


def loader(
  source,
  senses: Sequence[Sense],
  *,
  batch: int,
  text_length: int,
  seed: int,
  rows: Int[np.ndarray, "rows"] | None = None,
  threads: int = 2,
) -> grain.IterDataset:
  """An endless dataset of batches. Its iterator has `get_state` and `set_state`.

  Which examples are in a batch, and that state, are the same whatever `rows` are: a process
  reads its rows of every batch and nothing else, and a run may go on with more or fewer processes.

  Args:
    source: random access to examples; its `labels`, if any, go along.
    senses: what to take from each.
    batch: examples a batch, over all processes.
    text_length: bytes of a caption.
    seed: of the shuffle, drawn anew every epoch.
    rows: of each batch, which to read; None: all.
    threads: that read ahead.
  """
  rows = np.arange(batch) if rows is None else rows
  labels = getattr(source, "labels", {})

  def read(indices: Int[np.ndarray, "batch"]) -> Batch:
    return collate([_example(source, int(i)) for i in indices[rows]], senses, text_length, labels)

  # For ever, in a number that still is one when a batch is a single example.
  epochs = (1 << 62) // len(source)
  dataset = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat(epochs).batch(batch).map(read)
  return dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=16))


def _example(source, index: int) -> dict:
  try:
    return source[index]
  except (OSError, EOFError, ValueError) as error:
    raise UserError(f"example {index} of the data cannot be read: {error}") from error
