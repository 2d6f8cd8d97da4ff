"""Finds near-duplicate clips of different videos without comparing all pairs.

Locality-sensitive hashing: two clips are compared if a code of one (see `likeness`) agrees with a code of the
other in one of four bands, each a subset of 23 or 24 of the 31 lowest frequencies, and nearly agrees in all
bits. Each band of each code is a key; keys are divided into partitions, and within a partition sorted.

Clips of one fixed camera share all of their keys. In a band with many clips, a clip is therefore compared
only with the clips whose motion is most similar to its own. Such bands are counted.
"""

import functools
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt32
from threadpoolctl import threadpool_limits

from stale_jax.data.curate.components import write_edges
from stale_jax.data.curate.judge import video_of
from stale_jax.data.curate.likeness import SIDE, Compared, Look, likeness, may_be_alike
from stale_jax.data.curate.stage import Step, run_stage

_LOW_BITS = 31  # Bits of a code from which the keys are made.
_BANDS = [[bit for bit in range(_LOW_BITS) if bit % 4 != band] for band in range(4)]
_DIFFERENT = 8  # Greatest number of the 64 bits in which two codes of compared clips may differ.
# In a band with more clips than this, a clip is compared only with as many clips of similar motion.
_NEIGHBOURS = 200
_ENTRY = np.dtype([("key", "u4"), ("motion", "f4"), ("code", "u8"), ("part", "u4"), ("row", "u4")])
_PICTURES = 1 << 11  # Pictures of each side that are compared at once.
_CHUNK = 1 << 22  # Pairs of entries that are held in memory before repeated ones are removed.


class LookTable:
  """The looks of the clips of a part, in files that are read in parts.

  Attributes:
    videos: a hash of the name of each clip's video.
    lengths: number of pictures of each clip.
  """

  def __init__(self, folder: Path):
    self._folder = folder
    self._pictures = (folder / "pictures").open("rb", buffering=0)
    self._ends = np.load(folder / "ends.npy")
    self.videos, self.lengths = np.load(folder / "videos.npy"), np.diff(self._ends)

  @functools.cached_property
  def nodes(self) -> list[str]:
    """The name of each clip in the graph of near-duplicates (see `judge.clip_node`)."""
    return (self._folder / "nodes.txt").read_text(encoding="utf-8").splitlines()

  @staticmethod
  def write(folder: Path, nodes: Sequence[str], looks: Sequence[Look]) -> None:
    """Writes a table."""
    (folder / "nodes.txt").write_text("".join(f"{node}\n" for node in nodes), encoding="utf-8")
    hashes = [hashlib.blake2b(video_of(node).encode(), digest_size=8).digest() for node in nodes]
    np.save(folder / "videos.npy", np.frombuffer(b"".join(hashes), np.uint64))
    pictures = [look.pictures for look in looks]
    with (folder / "pictures").open("wb") as file:
      file.writelines(each.tobytes() for each in pictures)
    np.save(folder / "ends.npy", np.cumsum([0, *map(len, pictures)]))
    codes = [look.codes for look in looks]
    np.save(folder / "codes.npy", np.concatenate(codes) if looks else np.zeros(0, np.uint64))
    np.save(folder / "rows.npy", np.repeat(np.arange(len(looks), dtype=np.uint32), [len(c) for c in codes]))
    np.save(folder / "motion.npy", np.array([_motion(p) for p in pictures], np.float32).reshape(-1, 4))

  def pictures(self, row: int) -> UInt8[np.ndarray, "times 16 16"]:
    """The pictures of the clip at `row`."""
    begin, end = (int(end) * SIDE**2 for end in self._ends[row : row + 2])
    data = os.pread(self._pictures.fileno(), end - begin, begin)
    return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)

  def close(self) -> None:
    """Closes the file of the pictures."""
    self._pictures.close()


def pictures_of(folders: Sequence[Path], clips: Sequence[str]) -> list[UInt8[np.ndarray, "times 16 16"]]:
  """The pictures of clips, from the tables in `folders`; clips that were not to be compared are absent."""
  wanted, found = set(clips), {}
  for folder in folders:
    table = LookTable(folder)
    for row, node in enumerate(table.nodes):
      if (name := node.rpartition(" ")[2]) in wanted:
        found[name] = table.pictures(row)
    table.close()
  return [found[clip] for clip in clips if clip in found]


def _motion(pictures: UInt8[np.ndarray, "times 16 16"]) -> Float32[np.ndarray, "4"]:
  """Four properties of the motion in a clip, which trimming and mirroring change little.

  They are the size of the largest change between consecutive pictures; the height of the place that changes
  in it; its distance from the middle; and the change of the mean brightness.
  """
  change = np.diff(pictures.astype(np.float32), axis=0)
  if not len(change):
    return np.zeros(4, np.float32)
  largest = np.abs(change[(change**2).sum((1, 2)).argmax()])
  weight = largest / max(largest.sum(), 1e-6)
  place = np.arange(SIDE) - (SIDE - 1) / 2
  beside = np.abs((weight.sum(0) * place).sum())
  brightness = np.abs(change.mean((1, 2))).max()
  return np.array([largest.mean(), (weight.sum(1) * place).sum(), beside, brightness], np.float32)


def link(
  tables: Sequence[Path], out: Path, options: Sequence[str], most_likeness: float
) -> tuple[list[Path], int]:
  """Finds the pairs of clips whose likeness is at least `most_likeness`.

  Args:
    tables: folders with a `LookTable` each.
    out: a folder for the results.
    options: Beam's flags.
    most_likeness: see `Settings.most_likeness`.

  Returns:
    Folders with edges between near-duplicate clips, and between their videos (see `components`); and the
    number of bands in which not all pairs were compared.
  """
  paths = tuple(map(str, tables))
  (out / "bands").mkdir(parents=True, exist_ok=True)
  lines = [json.dumps([part, path]) for part, path in enumerate(paths)]
  pairs = run_stage(_Bands(out / "bands", len(paths)), lines, out / "pairs", options)
  hot = sum(json.loads((folder / "hot.json").read_text()) for folder in pairs)
  return run_stage(_Compare(paths, most_likeness), list(map(str, pairs)), out / "links", options), hot


class _Bands(Step):
  """Maps a table to files of keys, one for each partition; reduces a partition to pairs of clips."""

  def __init__(self, folder: Path, parts: int):
    self._folder, self._partitions = str(folder), 4 * parts

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    part, table = json.loads(line)
    codes, rows, motion = (np.load(Path(table) / f"{name}.npy") for name in ("codes", "rows", "motion"))
    entries = np.zeros((len(_BANDS), len(codes)), _ENTRY)
    for band, bits in enumerate(_BANDS):
      mask = np.uint64(sum(1 << bit for bit in bits))
      entries[band]["key"] = _mixed((codes & mask) | np.uint64(band) << np.uint64(32))
      entries[band]["motion"] = motion[rows, band]
    entries["code"], entries["part"], entries["row"] = codes, part, rows
    entries = entries.ravel()
    partition = entries["key"] % self._partitions
    order = np.argsort(partition, kind="stable")
    ends = np.searchsorted(partition[order], np.arange(self._partitions + 1))
    for number in range(self._partitions):
      if (chosen := order[ends[number] : ends[number + 1]]).size:
        path = Path(self._folder) / f"{part:06}-{number:06}.npy"
        partial = path.with_suffix(f".{uuid.uuid4().hex}")
        with partial.open("wb") as file:
          np.save(file, entries[chosen])
        os.replace(partial, path)
        yield number, str(path).encode()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    entries = np.concatenate([np.load(path.decode()) for path in values])
    pairs, hot = _pairs(_sorted(entries))
    np.save(folder / "pairs.npy", pairs)
    (folder / "hot.json").write_text(json.dumps(hot))


def _mixed(keys: np.ndarray) -> UInt32[np.ndarray, "n"]:
  """32-bit hashes of 64-bit keys (the finaliser of MurmurHash3)."""
  for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(factor)
  return (keys ^ (keys >> np.uint64(33))).astype(np.uint32)


def _sorted(entries: np.ndarray) -> np.ndarray:
  """The entries, sorted by key and motion; in large bands, one entry for each clip, with equal codes.

  A clip before a fixed camera may have many codes in a band, which would take the places of other clips.
  """
  _, band, count = np.unique(entries["key"], return_inverse=True, return_counts=True)
  large = count[band] > _NEIGHBOURS
  many = entries[large]
  many["code"] = 0
  entries = np.concatenate([entries[~large], np.unique(many)])
  return entries[np.lexsort((entries["row"], entries["part"], entries["motion"], entries["key"]))]


def _pairs(entries: np.ndarray) -> tuple[UInt32[np.ndarray, "pairs 4"], int]:
  """The pairs of clips whose keys agree and whose codes nearly agree.

  Args:
    entries: entries sorted by key, then by motion.

  Returns:
    (part, row, part, row) of each pair, each pair once; and the number of bands with more than _NEIGHBOURS
    further entries.
  """
  clip = entries["part"].astype(np.uint64) << np.uint64(32) | entries["row"]
  active, found, held, hot = np.arange(len(entries)), [], 0, 0
  for ahead in range(1, _NEIGHBOURS + 1):
    active = active[active + ahead < len(entries)]
    active = active[entries["key"][active] == entries["key"][active + ahead]]
    if not active.size:
      break
    other = active + ahead
    near = np.bitwise_count(entries["code"][active] ^ entries["code"][other]) <= _DIFFERENT
    a, b = clip[active[near]], clip[other[near]]
    found.append(np.stack([np.minimum(a, b), np.maximum(a, b)], -1)[a != b])
    held += len(found[-1])
    if held > _CHUNK:
      found = [np.unique(np.concatenate(found), axis=0)]
      held = len(found[0]) // 2
  else:
    beyond = active[active + _NEIGHBOURS + 1 < len(entries)]
    hot = len(
      np.unique(entries["key"][beyond][entries["key"][beyond] == entries["key"][beyond + _NEIGHBOURS + 1]])
    )
  pairs = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), np.uint64)
  return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], -1).reshape(-1, 4).astype(
    "u4"
  ), hot


class _Compare(Step):
  """Maps a file of pairs to the parts of their first clips; reduces a part to the near-duplicates in it."""

  def __init__(self, tables: tuple[str, ...], most_likeness: float):
    self._tables, self._most_likeness = tables, most_likeness

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    pairs = np.load(Path(line) / "pairs.npy")
    for part in np.unique(pairs[:, 0]):
      yield int(part), pairs[pairs[:, 0] == part].tobytes()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    pairs = np.unique(np.frombuffer(b"".join(values), np.uint32).reshape(-1, 4), axis=0)
    own, edges = LookTable(Path(self._tables[key])), set()
    for part in np.unique(pairs[:, 2]).tolist():
      table = own if part == key else LookTable(Path(self._tables[part]))
      rows = pairs[pairs[:, 2] == part][:, (1, 3)]
      # Clips of one video may look alike because they show the same place and person.
      rows = rows[own.videos[rows[:, 0]] != table.videos[rows[:, 1]]]
      # There is a worker for each core; threads of small matrix products would only wait for one another.
      with threadpool_limits(1):
        alike = list(self._alike(own, table, rows))
      for row, row2 in alike:
        one, other = own.nodes[row], table.nodes[row2]
        edges |= {(one, other), (f"video {video_of(one)}", f"video {video_of(other)}")}
      if table is not own:
        table.close()
    own.close()
    write_edges(folder, sorted(edges))

  def _alike(
    self, table: LookTable, other: LookTable, rows: UInt32[np.ndarray, "pairs 2"]
  ) -> Iterator[tuple[int, int]]:
    """Yields those of `rows`, pairs of a row of `table` and a row of `other`, whose clips are alike."""
    least = self._most_likeness
    lengths = np.stack([table.lengths[rows[:, 0]], other.lengths[rows[:, 1]]], -1)
    for chunk in _chunks(rows, lengths):
      ones = np.stack([table.pictures(row) for row in chunk[:, 0].tolist()])
      others = np.stack([other.pictures(row) for row in chunk[:, 1].tolist()])
      for k in np.flatnonzero(may_be_alike(ones, others, least)):
        if likeness(Compared(ones[k]), Compared(others[k]), least) >= least:
          yield tuple(chunk[k].tolist())


def _chunks(
  rows: UInt32[np.ndarray, "pairs 2"], lengths: Int64[np.ndarray, "pairs 2"]
) -> Iterator[UInt32[np.ndarray, "some 2"]]:
  """Divides `rows` into pairs with equal `lengths`, few enough to be compared at once."""
  each, begin = np.unique(lengths, axis=0, return_inverse=True)
  for number, both in enumerate(each):
    chosen, size = rows[begin == number], max(1, _PICTURES // int(both.max()))
    for first in range(0, len(chosen), size):
      yield chosen[first : first + size]
