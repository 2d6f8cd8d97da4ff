"""Loads batches from a source: shuffled, multithreaded, and resumable at the exact example."""

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
  """Stacks examples into a batch.

  A sense that an example lacks is filled with zeros and marked as not real in `Context.valid`. Clips whose
  number of frames is not a multiple of the patch, such as images, are padded with zero frames, which are also
  marked as not real.

  Args:
    examples: see `Source`. All clips have the same number of frames.
    senses: the senses to stack.
    text_length: length of a tokenized caption in tokens: a start token and bytes.
    labels: label name -> number of classes. An example has one class or a list of classes; if it lacks the
      label, the entries of all classes are -1 (see `Batch.labels`).
    micro: names of the micro-conditions to measure (`data.micro`).

  Raises:
    UserError: an array does not have the shape [frames, *sense.shape]; or a class is not in the range from 0
      to `labels[name] - 1`. Another height and width are accepted if they are the same in all examples and
      the sense's patch divides them.
  """
  frames = next(iter(examples[0]["clip"].values())).shape[0]
  missing = -frames % math.lcm(*(sense.patch[0] for sense in senses))
  clip, valid = {}, {}
  for sense in senses:
    shape = (frames, *_frame_shape(sense, examples))
    has = np.array([sense.name in e["clip"] for e in examples])
    for example in itertools.compress(examples, has):
      if (actual := np.shape(example["clip"][sense.name])) != shape:
        raise UserError(f"example {example['index']}: {sense.name} has shape {actual}, expected {shape}.")
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
      positive = np.atleast_1d(np.asarray(label, np.int64))
      if ((positive < 0) | (positive >= count)).any():
        raise UserError(f"example {example['index']}: label {name} is {label}; expected 0 to {count - 1}.")
      row[:] = 0
      row[positive] = 1
  text = tokenize([e["caption"] for e in examples], text_length)
  index = np.array([e["index"] for e in examples], np.int32)
  known = {n: np.array([measure(n, e, senses[0].rate) for e in examples], np.float32) for n in micro}
  context = Context(text=text, valid=valid, **known)
  return Batch(clip=clip, context=context, index=index, labels=classes)


def _frame_shape(sense: Sense, examples: Sequence[dict]) -> tuple[int, ...]:
  """The shape of a frame of `sense` in `examples`, which depends on their bucket.

  Returns:
    The shape that all examples have in common; `sense.shape` if they differ or `sense` cannot have the shape.
  """
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
  """An endless Grain dataset of batches. Its iterator can be saved and restored (`get_state`, `set_state`).

  Each process reads only its own rows of each batch. The contents of the global batch and the iterator's
  state do not depend on `rows`, so a run can resume with more or fewer processes.

  Args:
    source: the source of the examples. All examples of a batch have the same size, that is, they come from
      one of the source's index ranges (`Source.sizes`). A fraction `source.shares[k]` of the batches, evenly
      spread, comes from range k.
    senses: the senses to read.
    batch: the number of examples in a global batch, over all processes.
    text_length: length of a tokenized caption in tokens: a start token and bytes.
    seed: seed of the shuffle. Each epoch of an index range is shuffled differently.
    rows: the rows of each batch that this process reads; None for all.
    micro: names of the micro-conditions to measure (`data.micro`).
    clips: whether to read clips and labels; if False, only captions are read (see `captions_alone`).
    threads: the number of threads that read examples in advance.
  """
  rows = np.arange(batch) if rows is None else rows

  def read(indices: Int[np.ndarray, "batch"]) -> Batch:
    if not clips:
      return captions_alone(source, indices[rows], text_length)
    return collate([stored(source, int(i)) for i in indices[rows]], senses, text_length, source.labels, micro)

  shares = source.shares
  size = len(source) // len(shares)
  # Effectively infinite, but small enough that `epochs * size` fits in int64.
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
  """A batch with the captions of the examples at `indices`, without clips and labels.

  Raises:
    UserError: a caption cannot be read.
  """
  text = tokenize([_readable(source.caption, int(i)) for i in indices], text_length)
  return Batch(clip={}, context=Context(text=text), index=np.asarray(indices, np.int32))


def first_stored(source: Source) -> dict:
  """The first example of the first clip size with a positive share (`Source.shares`).

  Raises:
    UserError: the source has no usable examples, or the example cannot be read.
  """
  shares = source.shares
  return stored(source, len(source) // len(shares) * next(k for k, share in enumerate(shares) if share))


def stored(source: Source, index: int) -> dict:
  """The example at `index`; sight is uint8 if the source stores it as bytes (see `clip.floats`).

  Raises:
    UserError: the example cannot be read.
  """
  return _readable(source.stored, index)


def _readable(read: Callable[[int], Any], index: int) -> Any:
  try:
    return read(index)
  except (OSError, EOFError, ValueError) as error:
    raise UserError(f"example {index} of the data cannot be read: {error}") from error
