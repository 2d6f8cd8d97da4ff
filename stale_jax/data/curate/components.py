"""Connected components of a graph whose edges are in several files.

Each round maps a file to the edges from each of its nodes to the first node of its component within the file,
sends them to the groups of both nodes, and does the same within each group. The rounds end when no edge
changes: then each node has one edge, to the first node of its component.
"""

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stale_jax.data.curate.stage import Step, run_stage
from stale_jax.data.groups import groups

EDGES = "edges.txt"  # Name of a file of edges: in each line, two nodes with a tabulator between them.

Edge = tuple[str, str]


def write_edges(folder: Path, edges: Iterable[Edge]) -> None:
  """Writes a file of edges into `folder`. Nodes must not contain a tabulator or a line break."""
  text = "".join(f"{a}\t{b}\n" for a, b in edges)
  (folder / EDGES).write_text(text, encoding="utf-8")


def read_edges(folder: Path) -> Iterator[Edge]:
  """Yields the edges in `folder`."""
  with (folder / EDGES).open(encoding="utf-8") as file:
    for line in file:
      a, _, b = line.rstrip("\n").partition("\t")
      yield a, b


def components(folders: Sequence[Path], out: Path, files: int, options: Sequence[str]) -> list[Path]:
  """Finds the components of the graph whose edges are in `folders`.

  Args:
    folders: folders with edges.
    out: a folder for the results.
    files: number of files into which the result is divided.
    options: Beam's flags.

  Returns:
    Folders with edges, one from each node that is not the first of its component to the first node.
  """
  before = None
  for number in itertools.count():
    folders = run_stage(_Round(files), list(map(str, folders)), out / f"round-{number}", options)
    edges = len(folders), sum(int((folder / "sum").read_text()) for folder in folders)
    if files == 1 or edges == before:
      break
    before = edges
  return folders


class _Round(Step):
  """One round, see the head of this file."""

  def __init__(self, files: int):
    self._files = files

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    for node, first in groups((), read_edges(Path(line))).items():
      if node != first:
        for group in {self._group(node), self._group(first)}:
          yield group, f"{node}\t{first}".encode()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    firsts = groups((), (tuple(value.decode().split("\t")) for value in values))
    edges = sorted((node, first) for node, first in firsts.items() if node != first)
    write_edges(folder, edges)
    (folder / "sum").write_text(str(sum(zlib.crc32(f"{a}\t{b}".encode()) for a, b in edges)))

  def _group(self, node: str) -> int:
    return zlib.crc32(node.encode()) % self._files
