"""Stacks examples into batches."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from stale_jax.clip import Batch, Context, Sense
from stale_jax.data.micro import measure
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


def captions_alone(examples: Sequence[tuple[int, str]], text_length: int) -> Batch:
  """A batch with the captions of examples, (index, caption), without clips and labels."""
  text = tokenize([caption for _, caption in examples], text_length)
  index = np.array([index for index, _ in examples], np.int32)
  return Batch(clip={}, context=Context(text=text), index=index)
