"""Clips of digits whose captions are changed, for the claims about editing."""

from typing import NamedTuple

import numpy as np

from stale_jax.clip import Clip


class Task(NamedTuple):
  """Real clips of the test split, and the captions to edit them to.

  Attributes:
    clip: sense -> [clips, frames, *shape].
    source, target: captions; they differ in the digit alone.
    digits: the digit of each target, [clips].
  """

  clip: Clip
  source: list[str]
  target: list[str]
  digits: np.ndarray


def task(model, clips: int, seed: int) -> Task:
  """`clips` clips, each with a random other digit as its target."""
  import dataclasses

  from stale_jax.data.sources.digits import LABELS, caption

  test = dataclasses.replace(model.source, split="test", seed=seed)
  examples = [test[i] for i in range(clips)]
  senses = [sense.name for sense in model.system.data.senses]
  rng = np.random.default_rng(seed)
  labels = [example["labels"] for example in examples]
  digits = np.array([(x["digit"] + rng.integers(1, LABELS["digit"])) % LABELS["digit"] for x in labels])
  wanted = [{**x, "digit": int(digit)} for x, digit in zip(labels, digits, strict=True)]
  return Task(
    clip={name: np.stack([example["clip"][name] for example in examples]) for name in senses},
    source=[example["caption"] for example in examples],
    target=[caption(x) for x in wanted],
    digits=digits,
  )
