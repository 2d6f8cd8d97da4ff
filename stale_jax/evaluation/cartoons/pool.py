"""The real clips on which the reader of cartoons is fitted: drawn once, and kept on disk."""

import contextlib
import os
from pathlib import Path

import cv2
import numpy as np

from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.evaluation.cartoons.questions import FRAMES, SIDE, answers, happenings

CHUNK = 256  # Clips of a file.
_SEED = 1
Chunk = dict[str, np.ndarray]


def draw_chunk(number: int, count: int = CHUNK) -> Chunk:
  """Clips that show all combinations, with the true answers.

  One clip in four shows two figures, which are rare otherwise. Another is drawn at half the size, and
  enlarged.

  Returns:
    sight [count, FRAMES, SIDE, SIDE, 3] in bytes; events [count, FRAMES, EVENTS]; balance [count, FRAMES, 3];
    and each of QUESTIONS -> [count].
  """
  common = {"combinations": "all", "frames": FRAMES, "seed": _SEED}
  sources = [
    Cartoons(height=SIDE, width=SIDE, **common),
    Cartoons(height=SIDE, width=SIDE, actions=tuple(PAIR), **common),
    Cartoons(height=SIDE, width=SIDE, **common),
    Cartoons(height=SIDE // 2, width=SIDE // 2, **common),
  ]
  rows = []
  for index in range(number * count, (number + 1) * count):
    source = sources[index % len(sources)]
    clip, take = source.stored(index)["clip"], source.draw(index)[2]
    sight = np.stack([cv2.resize(frame, (SIDE, SIDE)) for frame in clip["sight"]])
    rows.append({"sight": sight, "balance": clip["balance"], "events": happenings(take), **answers(take)})
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class Pool:
  """Chunks in a folder, drawn when they are first needed."""

  def __init__(self, folder: Path):
    self._folder = folder
    self._chunks: list[Chunk] = []
    self._folder.mkdir(parents=True, exist_ok=True)

  def batch(self, rng: np.random.Generator, chunks: int, size: int) -> Chunk:
    """Draws `size` clips of the first `chunks` chunks."""
    while len(self._chunks) < chunks:
      self._chunks.append(self._chunk(len(self._chunks)))
    at = rng.integers(0, chunks * CHUNK, size)
    return {
      name: np.stack([self._chunks[i // CHUNK][name][i % CHUNK] for i in at]) for name in self._chunks[0]
    }

  def _chunk(self, number: int) -> Chunk:
    path = self._folder / f"{number:04d}"
    if not path.is_dir():
      partial = path.with_suffix(f".{os.getpid()}")
      partial.mkdir()
      for name, values in draw_chunk(number).items():
        np.save(partial / f"{name}.npy", values)
      with contextlib.suppress(OSError):  # Another process was faster.
        partial.rename(path)
    # Sight stays on disk.
    return {
      file.stem: np.load(file, mmap_mode="r" if file.stem == "sight" else None) for file in path.iterdir()
    }
