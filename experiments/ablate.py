"""Compares configs: trains and evaluates every row of a table with every seed.

python -m experiments.ablate --list
python -m experiments.ablate --table=NAME --out=DIR [--seeds=3] [--steps=N]

A table is a file in experiments/tables, or a file of the same form. Each cell is a run of experiments.train
and then of experiments.evaluate, in DIR/cells, each in its own process. The program can be stopped at any
time, even with `kill -9`: the same command continues where it stopped. After every cell, DIR/NAME.md and
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
from stale_jax.progress import Stage

LIST = flags.DEFINE_boolean("list", False, "Lists the tables and exits.")
TABLE = flags.DEFINE_string("table", None, "Name of a table (see --list), or path of a table file.")
OUT = flags.DEFINE_string("out", None, "Folder to write the table and its cells to.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, counted from 0.", lower_bound=1)
STEPS = flags.DEFINE_integer(
  "steps", None, "Training steps of each cell; default: those of the table's config.", lower_bound=1
)


def main() -> None:
  if not LIST.value and not TABLE.value:
    raise UserError("--table is missing: give --table=NAME, or --list for the names.")
  from stale_jax.cells import TABLES, cells_of, read_table
  from stale_jax.construct import nearest
  from stale_jax.files import check_on_disk, make_folder

  check_on_disk("--", table=TABLE.value, out=OUT.value)
  names = sorted(path.stem for path in TABLES.glob("[!_]*.py"))
  if LIST.value:
    for name in names:
      print(f"{name:24}{read_table(TABLES / f'{name}.py')['__doc__'].splitlines()[0]}")
    return
  path = Path(TABLE.value)
  if path.suffix != ".py":
    if TABLE.value not in names:
      raise UserError(f"unknown table {TABLE.value!r}: {nearest(TABLE.value, names)}")
    path = TABLES / f"{path}.py"
  if not OUT.value:
    raise UserError(f"--out is missing: {flags.FLAGS['out'].help}")
  table = read_table(path)
  out = Path(OUT.value).absolute()
  with Stage("checking the configs of the table"):
    cells = cells_of(table, out, SEEDS.value, STEPS.value)
  make_folder(out)
  with (out / "lock").open("w") as lock:
    _take(lock, out)
    for cell in cells:
      cell.prepare()
    failed = []
    for number, cell in enumerate(cells, 1):
      prefix = f"[{number}/{len(cells)}] {cell.row}, seed {cell.seed}"
      if not all(_follow(program, prefix, lock) for program in cell.programs()):
        failed.append(f"{cell.row}, seed {cell.seed}")
      result = _write(out, path.stem, table, cells)
  print(json.dumps({"table": path.stem, **result, "failed": failed}))
  if failed:
    raise UserError(f"{len(failed)} of {len(cells)} cells failed ({'; '.join(failed)}): see above.")


def _take(lock, out: Path) -> None:
  """Locks `out`; waits while another process works there.

  The child processes inherit the lock. If this process is killed, they run on until they print their next
  line, which nobody reads any more; the next process that wants the folder waits for that.
  """
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    print(f"waiting for another process that works in {out}.", flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)


def _follow(program: tuple[str, ...], prefix: str, lock) -> bool:
  """Runs a program and prints its output, each line after `prefix`; returns whether it succeeded."""
  command = (sys.executable, "-m", *program)
  streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  with subprocess.Popen(
    command, cwd=Path(__file__).parents[1], pass_fds=(lock.fileno(),), **streams
  ) as process:
    for line in process.stdout:
      print(f"{prefix}: {line}", end="", flush=True)
  return process.returncode == 0


def _write(out: Path, name: str, table, cells) -> dict[str, Any]:
  """Writes the table and its plot, with the cells that are done; returns the table as plain data."""
  from stale_jax.evaluation import SUITES
  from stale_jax.evaluation.table import differences, estimates, markdown
  from stale_jax.files import write_whole
  from stale_jax.media.dots import dots

  done: dict[str, dict[int, dict[str, float]]] = {}
  for cell in cells:
    if len(scored := cell.scores()) == len(cell.suites):
      shown = [row for suite, scores in scored.items() for row in SUITES[suite].shown(scores)]
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
