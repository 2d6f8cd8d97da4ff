"""From a source to batches: shuffled, threaded, and resumable to the exact example."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from jaxtyping import Int

from stale_jax.clip import Batch, Context, Sense
from stale_jax.data.micro import measure
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.text import tokenize


def collate(
  examples: Sequence[dict],
  senses: Sequence[Sense],
  text_length: int,
  labels: Mapping[str, int] | None = None,
  micro: Sequence[str] = (),
) -> Batch:
  """Stacks examples. A sense that an example lacks is zeros marked as not real, a label -1.

  A label is the class, or a list of all the classes, that an example is of.

  The micro-conditions named by `micro` are measured (`data.micro`).

  Raises:
    UserError: an array whose shape is not [frames, *sense.shape] (nor that of all others, which its patch
      divides), or a label that is none of the `labels[name]` classes.
  """
  frames = next(iter(examples[0]["clip"].values())).shape[0]
  # Frames that are missing in the last patch, as in that of an image, are not real either.
  missing = -frames % math.lcm(*(sense.patch[0] for sense in senses))
  clip, valid = {}, {}
  for sense in senses:
    shape = (frames, *_frame_shape(sense, examples))
    has = np.array([sense.name in e["clip"] for e in examples])
    for example in itertools.compress(examples, has):
      if (given := np.shape(example["clip"][sense.name])) != shape:
        raise UserError(f"example {example['index']}: {sense.name} has shape {given}, expected {shape}.")
    dtype = examples[has.argmax()]["clip"][sense.name].dtype if has.any() else np.float32
    clip[sense.name] = np.zeros((len(examples), frames + missing, *shape[1:]), dtype)
    for row in np.flatnonzero(has):
      clip[sense.name][row, :frames] = examples[row]["clip"][sense.name]
    valid[sense.name] = has[:, None] & (np.arange(frames + missing) < frames)
  classes = {}
  for name, count in (labels or {}).items():
    classes[name] = np.full((len(examples), count), -1, np.int8)
    for row, example in zip(classes[name], examples, strict=True):
      if (label := example.get("labels", {}).get(name, -1)) == -1:
        continue
      every = np.atleast_1d(np.asarray(label, np.int64))
      if ((every < 0) | (every >= count)).any():
        raise UserError(f"example {example['index']}: label {name} is {label}, of {count} classes.")
      row[:] = 0
      row[every] = 1
  text = tokenize([e["caption"] for e in examples], text_length)
  index = np.array([e["index"] for e in examples], np.int32)
  known = {n: np.array([measure(n, e, senses[0].rate) for e in examples], np.float32) for n in micro}
  context = Context(text=text, valid=valid, **known)
  return Batch(clip=clip, context=context, index=index, labels=classes)


def _frame_shape(sense: Sense, examples: Sequence[dict]) -> tuple[int, ...]:
  """The sense's own, or that of all of these examples if they are of another bucket."""
  shapes = {np.shape(e["clip"][sense.name])[1:] for e in examples if sense.name in e["clip"]}
  try:
    return sense.on(*shapes).shape if len(shapes) == 1 else sense.shape
  except ValueError:
    return sense.shape


def loader(
  source: Source,
  senses: Sequence[Sense],
  *,
  batch: int,
  text_length: int,
  seed: int,
  rows: Int[np.ndarray, "rows"] | None = None,
  micro: Sequence[str] = (),
  clips: bool = True,
  threads: int = 2,
) -> grain.IterDataset:
  """An endless dataset of batches. Its iterator has `get_state` and `set_state`.

  Which examples are in a batch, and that state, are the same whatever `rows` are: a process
  reads its rows of every batch and nothing else, and a run may go on with more or fewer processes.

  Args:
    source: of the examples. Each batch is from one of its ranges of indices (`Source.sizes`), `shares[k]` of
      the batches from range k, evenly spread.
    senses: what to take from each.
    batch: examples a batch, over all processes.
    text_length: bytes of a caption.
    seed: of the shuffle, drawn anew every epoch of a bucket.
    rows: of each batch, which to read; None: all.
    micro: which micro-conditions to measure.
    clips: whether to read clips and labels; captions always are.
    threads: that read ahead.
  """
  rows = np.arange(batch) if rows is None else rows

  def read(indices: Int[np.ndarray, "batch"]) -> Batch:
    if not clips:
      return captions_alone(source, indices[rows], text_length)
    return collate([stored(source, int(i)) for i in indices[rows]], senses, text_length, source.labels, micro)

  shares = source.shares
  size = len(source) // len(shares)
  # For ever, in a number that still is one when a batch is a single example.
  epochs = (1 << 62) // size
  buckets, weights = [], []
  for bucket, share in enumerate(shares):
    if share:
      indices = grain.MapDataset.range(bucket * size, (bucket + 1) * size).seed(seed + bucket)
      buckets.append(indices.shuffle().repeat(epochs).batch(batch))
      weights.append(share)
  dataset = grain.MapDataset.mix(buckets, weights) if len(buckets) > 1 else buckets[0]
  return dataset.map(read).to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=16))


def captions_alone(source: Source, indices: Int[np.ndarray, "batch"], text_length: int) -> Batch:
  """A batch of the examples at `indices` without clips and labels.

  Raises:
    UserError: a caption cannot be read.
  """
  text = tokenize([_readable(source.caption, int(i)) for i in indices], text_length)
  return Batch(clip={}, context=Context(text=text), index=np.asarray(indices, np.int32))


def first_stored(source: Source) -> dict:
  """An example that a batch may have: the first of the first bucket with a share. Raises like `stored`."""
  shares = source.shares
  return stored(source, len(source) // len(shares) * next(k for k, share in enumerate(shares) if share))


def stored(source: Source, index: int) -> dict:
  """The example at `index`, its pictures as bytes if the source keeps them so (`clip.floats`).

  Raises:
    UserError: it cannot be read.
  """
  return _readable(source.stored, index)


def _readable(read: Callable[[int], Any], index: int) -> Any:
  try:
    return read(index)
  except (OSError, EOFError, ValueError) as error:
    raise UserError(f"example {index} of the data cannot be read: {error}") from error
