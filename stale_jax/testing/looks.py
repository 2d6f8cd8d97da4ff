"""Synthetic looks of clips (`data.curate.likeness`) with planted copies, to test linking."""

from pathlib import Path

import numpy as np

from stale_jax.data.curate.likeness import SIDE, Look, codes_of
from stale_jax.data.curate.link import LookTable

_TIMES, _WAVES = 8, 10  # Pictures of a clip, and cosine waves along each axis of which a picture is made.


def plant_looks(
  folder: Path, clips: int, copies: int, parts: int, seed: int
) -> tuple[list[Path], set[tuple[str, str]]]:
  """Writes tables of looks of different clips, and of copies of some.

  A copy begins one picture later, is mirrored, and has the noise of a codec.

  Args:
    folder: folder of the tables.
    clips: number of clips, with the copies.
    copies: number of copies.
    parts: number of tables.
    seed: seed of all random draws.

  Returns:
    The folders of the tables, and the pairs of nodes that are copies of each other.
  """
  waves = np.cos(np.pi * np.outer(np.arange(_WAVES), np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
  strength = 1 / (1 + np.add.outer(np.arange(_WAVES), np.arange(_WAVES)))
  each, copied = clips // parts, copies // parts
  tables, pairs, before = [], set(), None
  for part in range(parts):
    rng = np.random.default_rng([seed, part])
    still = rng.normal(0, 60, (each, 1, _WAVES, _WAVES)) * strength
    moving = rng.normal(0, 20, (each, _TIMES, _WAVES, _WAVES)) * strength
    pictures = waves.T @ (still + moving).astype(np.float32) @ waves + 128
    names = [f"{part:04x}0000{clip:08x}" for clip in range(each)]
    if before is not None:  # Copies of clips of the part before.
      originals, known = before
      pictures[:copied, :-1] = originals[:, 1:, :, ::-1]
      pictures[:copied] += rng.normal(0, 1, pictures[:copied].shape).astype(np.float32)
      pairs |= {tuple(sorted((_node(a), _node(b)))) for a, b in zip(known, names[:copied], strict=True)}
    before = pictures[-copied:].copy(), names[-copied:]
    grey = np.clip(pictures, 0, 255).astype(np.uint8)
    codes = codes_of(grey[:, ::2].reshape(-1, SIDE, SIDE).astype(np.float32)).reshape(each, -1)
    # As many further codes as crops have, of pictures that are as different as crops are.
    blurred = [np.roll(grey[:, 2:4], (down, across), (2, 3)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    more = np.stack(blurred, 1).reshape(-1, SIDE, SIDE).astype(np.float32)
    codes = np.concatenate([codes, codes_of(more).reshape(each, -1)], 1)
    table = folder / f"{part:08}"
    table.mkdir(parents=True)
    looks = [Look(pictures=grey[clip], codes=np.unique(codes[clip])) for clip in range(each)]
    LookTable.write(table, [_node(name) for name in names], looks)
    tables.append(table)
  return tables, pairs


def _node(video: str) -> str:
  return f"clip 0 {video}_00000"
