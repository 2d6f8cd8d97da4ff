"""Fills a table: trains and measures every row with every seed, and compares the rows.

python -m experiments.ablate --list | --table=NAME --out=DIR [--seeds=3] [--steps=N]

A table is a file of experiments/tables, or one like them. Each cell is a run of
experiments.train and experiments.evaluate in DIR/cells, a process each. Stop it as you like,
`kill -9` included: the same command goes on where it was. After every cell, DIR/NAME.md and
DIR/NAME.svg hold the table so far. The last line of stdout is one JSON object.
"""

import fcntl
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from absl import flags

from experiments.main import run
from stale_jax.errors import UserError

LIST = flags.DEFINE_boolean("list", False, "Names the tables.")
TABLE = flags.DEFINE_string("table", None, "Which: a name, or the path of a file.")
OUT = flags.DEFINE_string("out", None, "Folder of the table and its cells.")
SEEDS = flags.DEFINE_integer("seeds", 3, "How many, from 0.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", None, "Of training; default as in the table's config.", lower_bound=1)


def main() -> None:
  from stale_jax.cells import TABLES, cells_of, read_table
  from stale_jax.construct import nearest
  from stale_jax.files import make_folder

  names = sorted(path.stem for path in TABLES.glob("[!_]*.py"))
  if LIST.value:
    for name in names:
      print(f"{name:24}{read_table(TABLES / f'{name}.py')['__doc__'].splitlines()[0]}")
    return
  path = Path(TABLE.value or "")
  if path.suffix != ".py":
    if TABLE.value not in names:
      raise UserError(f"unknown table {TABLE.value!r}: {nearest(TABLE.value or '', names)}")
    path = TABLES / f"{path}.py"
  if not OUT.value:
    raise UserError("--out is missing: the folder of the table and its cells.")
  table = read_table(path)
  out = Path(OUT.value).absolute()
  cells = cells_of(table, out, SEEDS.value, STEPS.value)
  make_folder(out)
  with (out / "lock").open("w") as lock:
    _alone(lock, out)
    for cell in cells:
      cell.prepare()
    failed = []
    for number, cell in enumerate(cells, 1):
      where = f"[{number}/{len(cells)}] {cell.row}, seed {cell.seed}"
      if not all(_follow(program, where, lock) for program in cell.programs()):
        failed.append(f"{cell.row}, seed {cell.seed}")
      result = _write(out, path.stem, table, cells)
  print(json.dumps({"table": path.stem, **result, "failed": failed}))
  if failed:
    raise UserError(f"{len(failed)} of {len(cells)} cells failed ({'; '.join(failed)}): see above.")


def _alone(lock, out: Path) -> None:
  """Waits until nobody else works in `out`.

  The programs hold the lock with us: should we be killed, they go on until their next line finds no
  reader, and whoever comes next waits for that.
  """
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    print(f"waiting for another that is at work in {out}.", flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)


def _follow(program: tuple[str, ...], where: str, lock) -> bool:
  """Runs a program and passes on what it says; whether it succeeded."""
  command = (sys.executable, "-m", *program)
  streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  with subprocess.Popen(
    command, cwd=Path(__file__).parents[1], pass_fds=(lock.fileno(),), **streams
  ) as process:
    for line in process.stdout:
      print(f"{where}: {line}", end="", flush=True)
  return process.returncode == 0


def _write(out: Path, name: str, table, cells) -> dict[str, Any]:
  """Writes the table and its plot as far as they go; returns them as JSON."""
  from stale_jax.evaluation import SUITES
  from stale_jax.evaluation.table import differences, estimates, markdown
  from stale_jax.files import write_whole
  from stale_jax.media.dots import dots

  done: dict[str, dict[int, dict[str, float]]] = {}
  for cell in cells:
    if len(said := cell.scores()) == len(cell.suites):
      shown = [row for suite, scores in said.items() for row in SUITES[suite].shown(scores)]
      done.setdefault(cell.row, {})[cell.seed] = {score: value for score, value, *_ in shown}
  done = {row: done[row] for row in table["ROWS"] if row in done}
  about = {score: text for suite in table["SUITES"] for score, text in SUITES[suite].about.items()}
  title = " ".join(table["__doc__"].split("\n\n")[0].split())
  facts = f"{table['BASE']}, {cells[0].config['training']['steps']} steps, {SEEDS.value} seed(s)."
  write_whole(out / f"{name}.md", markdown(done, title, facts, about))
  means = estimates(done)
  write_whole(out / f"{name}.svg", dots(done, means))

  def plain(rows):
    return {
      row: {
        score: {"mean": e.mean, "error": None if math.isnan(e.error) else e.error} for score, e in of.items()
      }
      for row, of in rows.items()
    }

  return {"rows": plain(means), "differences": plain(differences(done)), "out": str(out)}


if __name__ == "__main__":
  run(main)
