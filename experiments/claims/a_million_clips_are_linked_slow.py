"""Of a million clips the near-duplicates are found in five minutes and 2 GiB on two cores.

The clips are drawn at random: each has pictures, codes and motion as curation computes them; one in a hundred
is a copy that begins later, is mirrored, and has noise. They are linked by the stages of curation, on Apache
Beam in two processes. Scores with bars of their own: seconds, 300; the greatest memory of all processes, 2
GiB; the share of the copies that are not linked, .05; the share of the links that are wrong, .02. Value: the
greatest score divided by its bar. Bar: 1.
"""

CLIPS, PARTS = 1_000_000, 50
BARS = {"seconds": 300.0, "GiB": 2.0, "missed": 0.05, "wrong": 0.02}


def measure(seed: int) -> dict:
  import tempfile
  import time
  from pathlib import Path

  from stale_jax.data.curate import Settings
  from stale_jax.data.curate.components import read_edges
  from stale_jax.data.curate.link import link
  from stale_jax.data.curate.stage import local_options
  from stale_jax.testing.looks import plant_looks
  from stale_jax.testing.processes import MemoryOfProcesses

  with tempfile.TemporaryDirectory() as folder:
    tables, copies = plant_looks(Path(folder) / "looks", CLIPS, CLIPS // 100, PARTS, seed)
    with MemoryOfProcesses() as memory:
      start = time.monotonic()
      folders, hot = link(tables, Path(folder) / "link", local_options(2), Settings().most_likeness)
      seconds = time.monotonic() - start
    links = {tuple(sorted(e)) for path in folders for e in read_edges(path) if e[0].startswith("clip ")}
  scores = {
    "seconds": round(seconds, 1),
    "GiB": round(memory.most / 2**30, 3),
    "missed": len(copies - links) / len(copies),
    "wrong": len(links - copies) / max(1, len(links)),
  }
  for name, score in scores.items():
    print(f"{name:10}{score:10.3f}   bar {BARS[name]:g}")
  value = max(scores[name] / bar for name, bar in BARS.items())
  return {
    "value": value,
    "bar": 1.0,
    "holds": value <= 1,
    "scores": scores,
    "clips": CLIPS,
    "copies": len(copies),
    "bands compared in part": hot,
  }
