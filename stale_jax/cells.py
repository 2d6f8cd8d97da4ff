"""Tables of comparisons (experiments.ablate) and their cells, which are training runs.

A table is a Python file in experiments/tables, or another file of the same form. It is executed, and only the
values of its names __doc__, BASE (a config file), SUITES and ROWS are used. Each row changes some keys of the
base config. A cell is a row trained with one seed.
"""

import copy
import dataclasses
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stale_jax.checkpoints.config_file import read_config, write_config
from stale_jax.config import build, resolve
from stale_jax.config.text import change_of, flat
from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.files import AnyPath, make_folder
from stale_jax.scores import read_scores

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "experiments" / "tables"


def read_table(path: AnyPath) -> dict[str, Any]:
  """Executes a table file and returns the values of __doc__, BASE, SUITES and ROWS, by name.

  Raises:
    UserError: the file cannot be executed, or one of these names is missing.
  """
  try:
    table = runpy.run_path(str(path))
    return {name: table[name] for name in ("__doc__", "BASE", "SUITES", "ROWS")}
  except (OSError, KeyError, SyntaxError) as error:
    raise UserError(
      f"cannot read the table {path}: {error!r}; see experiments/tables for examples."
    ) from error


@dataclasses.dataclass(frozen=True)
class Cell:
  """One training run of a table: its folder, its config and the suites that evaluate it."""

  row: str
  seed: int
  folder: AnyPath
  config: dict[str, Any]
  suites: tuple[str, ...]

  def prepare(self) -> None:
    """Writes the config of the cell; raises UserError if the folder contains another config."""
    path = make_folder(self.folder) / "config.json"
    if path.exists() and (existing := resolve(read_config(path))) != self.config:
      before, after = dict(flat(existing)), dict(flat(self.config))
      differing = [key for key in {**before, **after} if before.get(key) != after.get(key)]
      raise UserError(
        f"{self.folder} holds a run with other settings: {change_of(before, after, differing)}; "
        "choose another --out."
      )
    write_config(path, self.config)

  def scores(self) -> dict[str, dict[str, Any]]:
    """suite -> name of a score -> its value, for the suites that have been measured."""
    stored = read_scores(self.folder)
    return {suite: stored[suite] for suite in self.suites if suite in stored}

  def programs(self) -> Iterator[tuple[str, ...]]:
    """Yields the programs that remain to be run, in order, each as (module, *arguments)."""
    if not (self.folder / "weights.safetensors").exists():
      config = f"--config=configs/of_run.py:{self.folder / 'config.json'}"
      yield "experiments.train", config, f"--workdir={self.folder}"
    for suite in self.suites:
      if suite not in self.scores():
        yield "experiments.evaluate", f"--workdir={self.folder}", f"--suite={suite}"


def cells_of(table, out: AnyPath, seeds: int, steps: int | None) -> list[Cell]:
  """The cells of a table: all rows with seed 0, then all rows with seed 1, and so on.

  Args:
    table: the result of `read_table`.
    out: folder in which the cells have their folders.
    seeds: number of seeds.
    steps: training steps of each cell; None: those of the config.

  Raises:
    UserError: a suite or the base config does not exist, or a config cannot be built.
  """
  for suite in table["SUITES"]:
    if suite not in SUITES:
      raise UserError(f"unknown suite {suite!r}: {nearest(suite, SUITES)}")
  try:
    base = runpy.run_path(str(ROOT / table["BASE"]))["get_config"]().to_dict()
  except (OSError, KeyError) as error:
    raise UserError(f"cannot read the config {table['BASE']}: {error!r}.") from error
  cells = []
  length = {"training.steps": steps} if steps else {}
  for seed in range(seeds):
    for row, changes in table["ROWS"].items():
      config = _changed(base, {**changes, **length, "seed": seed})
      try:
        config = resolve(config)
        if seed == 0:
          build(config)
      except UserError as error:
        raise UserError(f"row {row!r}: {error}") from error
      cells.append(Cell(row, seed, out / "cells" / f"{row}-{seed}", config, tuple(table["SUITES"])))
  return cells


def _changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
  """Returns a copy of `config` in which the value at each dotted path of `changes` is replaced."""
  config = copy.deepcopy(config)
  for path, value in changes.items():
    *parents, key = path.split(".")
    section = config
    for parent in parents:
      section[parent] = section.get(parent) or {}
      section = section[parent]
    section[key] = value
  return config
