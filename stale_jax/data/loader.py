"""From a source to batches: shuffled, threaded, and resumable to the exact example."""

from collections.abc import Mapping, Sequence

import grain
import numpy as np

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
  source, senses: Sequence[Sense], *, batch: int, text_length: int, seed: int, shard=(0, 1), threads: int = 2
) -> grain.IterDataset:
  """An endless dataset of batches. Its iterator has `get_state` and `set_state`.

  Args:
    source: random access to examples; its `labels`, if any, go along.
    senses: what to take from each.
    batch: examples a batch in this process.
    text_length: bytes of a caption.
    seed: of the shuffle, drawn anew every epoch.
    shard: (this process, how many there are).
    threads: that read ahead.
  """
  process, processes = shard
  labels = getattr(source, "labels", {})
  dataset = (
    grain.MapDataset.source(source)
    .seed(seed)
    .shuffle()[process::processes]
    .repeat()
    .batch(batch, batch_fn=lambda examples: collate(examples, senses, text_length, labels))
  )
  return dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=16))
