"""Fills a table: trains and measures every row with every seed, and compares the rows.

python -m experiments.ablate --list | --table=NAME --out=DIR [--seeds=3] [--steps=N]

A table is a file of experiments/tables, or one like them. Each cell is a run of
experiments.train and experiments.evaluate in DIR/cells, a process each. Stop it as you like,
`kill -9` included: the same command goes on where it was. After every cell, DIR/NAME.md and
DIR/NAME.svg hold the table so far. The last line of stdout is one JSON object.
"""

import copy
import dataclasses
import fcntl
import json
import math
import runpy
import subprocess
import sys
from collections.abc import Iterator
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

ROOT = Path(__file__).parents[1]
TABLES = Path(__file__).parent / "tables"


@dataclasses.dataclass(frozen=True)
class Cell:
  """One training run of a table: its place, its config and what measures it."""

  row: str
  seed: int
  folder: Path
  config: dict[str, Any]
  suites: tuple[str, ...]

  def scores(self) -> dict[str, dict[str, Any]]:
    """suite -> scores, of those that have been measured."""
    try:
      said = json.loads((self.folder / "evaluation.json").read_text())
    except (OSError, ValueError):
      return {}
    return {suite: said[suite] for suite in self.suites if suite in said}

  def programs(self) -> Iterator[tuple[str, ...]]:
    """The command lines that are still to be run, in order."""
    if not (self.folder / "weights.safetensors").exists():
      config = f"--config=configs/of_run.py:{self.folder / 'config.json'}"
      yield "experiments.train", config, f"--workdir={self.folder}"
    for suite in self.suites:
      if suite not in self.scores():
        yield "experiments.evaluate", f"--workdir={self.folder}", f"--suite={suite}"


def main() -> None:
  from stale_jax.config import nearest
  from stale_jax.files import make_folder

  names = sorted(path.stem for path in TABLES.glob("[!_]*.py"))
  if LIST.value:
    for name in names:
      print(f"{name:24}{_read(TABLES / f'{name}.py')['__doc__'].splitlines()[0]}")
    return
  path = Path(TABLE.value or "")
  if path.suffix != ".py":
    if TABLE.value not in names:
      raise UserError(f"unknown table {TABLE.value!r}: {nearest(TABLE.value or '', names)}")
    path = TABLES / f"{path}.py"
  if not OUT.value:
    raise UserError("--out is missing: the folder of the table and its cells.")
  table = _read(path)
  out = Path(OUT.value).absolute()
  cells = _cells(table, out)
  make_folder(out)
  with (out / "lock").open("w") as lock:
    _alone(lock, out)
    for cell in cells:
      _prepare(cell)
    failed = []
    for number, cell in enumerate(cells, 1):
      where = f"[{number}/{len(cells)}] {cell.row}, seed {cell.seed}"
      if not all(_follow(program, where, lock) for program in cell.programs()):
        failed.append(f"{cell.row}, seed {cell.seed}")
      result = _write(out, path.stem, table, cells)
  print(json.dumps({"table": path.stem, **result, "failed": failed}))
  if failed:
    raise UserError(f"{len(failed)} of {len(cells)} cells failed ({'; '.join(failed)}): see above.")


def _read(path: Path) -> dict[str, Any]:
  """The names of a table's file."""
  try:
    table = runpy.run_path(str(path))
    return {name: table[name] for name in ("__doc__", "BASE", "SUITES", "ROWS")}
  except (OSError, KeyError, SyntaxError) as error:
    raise UserError(
      f"cannot read the table {path}: {error!r}; experiments/tables has some to copy."
    ) from error


def _cells(table, out: Path) -> list[Cell]:
  """All rows with one seed, then with the next; a config that cannot be built is found out here."""
  from stale_jax.config import nearest
  from stale_jax.evaluation import SUITES
  from stale_jax.training import build

  for suite in table["SUITES"]:
    if suite not in SUITES:
      raise UserError(f"unknown suite {suite!r}: {nearest(suite, SUITES)}")
  try:
    base = runpy.run_path(str(ROOT / table["BASE"]))["get_config"]().to_dict()
  except (OSError, KeyError) as error:
    raise UserError(f"cannot read the config {table['BASE']}: {error!r}.") from error
  cells = []
  for seed in range(SEEDS.value):
    for row, changes in table["ROWS"].items():
      steps = {"training.steps": STEPS.value} if STEPS.value else {}
      config = _changed(base, {**changes, **steps, "seed": seed})
      if seed == 0:
        try:
          build(config)
        except UserError as error:
          raise UserError(f"row {row!r}: {error}") from error
      cells.append(Cell(row, seed, out / "cells" / f"{row}-{seed}", config, tuple(table["SUITES"])))
  return cells


def _changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
  """`config` with the value at each dotted path replaced, as JSON has it."""
  config = copy.deepcopy(config)
  for path, value in changes.items():
    *parents, key = path.split(".")
    section = config
    for parent in parents:
      section = section.setdefault(parent, {})
    section[key] = value
  return json.loads(json.dumps(config))


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


def _prepare(cell: Cell) -> None:
  """Writes the cell's config; raises UserError if it holds another."""
  from stale_jax.files import make_folder, write_whole
  from stale_jax.training.checkpoint import read_config

  path = make_folder(cell.folder) / "config.json"
  if path.exists() and (before := read_config(path)) != cell.config:
    differing = [key for key in cell.config if before.get(key) != cell.config[key]]
    raise UserError(f"{cell.folder} holds a run with another {', '.join(differing)}; choose another --out.")
  write_whole(path, json.dumps(cell.config, indent=2))


def _follow(program: tuple[str, ...], where: str, lock) -> bool:
  """Runs a program and passes on what it says; whether it succeeded."""
  command = (sys.executable, "-m", *program)
  streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  with subprocess.Popen(command, cwd=ROOT, pass_fds=(lock.fileno(),), **streams) as process:
    for line in process.stdout:
      print(f"{where}: {line}", end="", flush=True)
  return process.returncode == 0


def _write(out: Path, name: str, table, cells: list[Cell]) -> dict[str, Any]:
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
