"""A table of two mechanisms and two seeds by the real programs: killed, resumed, and the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from stale_jax.cells import TABLES, cells_of, read_table
from tests import micro
from tests.programs import finish, start

# A line a step, so that what outlives a killed parent ends at once; and little to compile.
SMALL = {**micro.OVERRIDES, "training.log_every": 1, "optimizer": {"name": "adamw"}}
TABLE = f'''"""Does touch help
at no size at all?"""

BASE = "configs/digits.py"
SUITES = ("denoising",)
_SMALL = {SMALL}
ROWS = {{"touch": _SMALL, "alone": {{**_SMALL, "senses": ["sight"], "objective": {{"name": "denoising"}}}}}}
'''


@pytest.fixture(scope="module")
def table(tmp_path_factory):
  path = tmp_path_factory.mktemp("tables") / "small.py"
  path.write_text(TABLE)
  return path


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_table_goes_on_and_is_that_of_one_that_was_not(table, tmp_path):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  arguments = [f"--table={table}", "--seeds=2"]
  code, first, err = finish("ablate", *arguments, f"--out={whole}", limit=1800)
  assert code == 0, err

  # All but one cell are done; that one is killed in its training, when it has a checkpoint.
  for cell in ("touch-0", "touch-1", "alone-1"):
    shutil.copytree(whole / "cells" / cell, killed / "cells" / cell)
  process = start("ablate", *arguments, f"--out={killed}")
  for line in process.stdout:
    if line.startswith("[2/4] alone, seed 0: step 18/40"):
      break
  process.kill()
  process.wait()
  code, second, err = finish("ablate", *arguments, f"--out={killed}", limit=1800)
  assert code == 0, err
  assert "[2/4] alone, seed 0: resuming" in second and "[2/4] alone, seed 0: step 40/40" in second
  assert not any(f"[{done}/4]" in second for done in (1, 3, 4))

  for name in ("small.md", "small.svg"):
    assert (whole / name).read_text() == (killed / name).read_text()
  results = [json.loads(out.splitlines()[-1]) for out in (first, second)]
  for result in results:
    result.pop("out")
  assert results[0] == results[1] and results[0]["failed"] == []

  # The table against its cells.
  losses = {}
  for row in ("touch", "alone"):
    said = [json.loads((whole / "cells" / f"{row}-{s}" / "evaluation.json").read_text()) for s in (0, 1)]
    losses[row] = np.array([scores["denoising"]["loss"] for scores in said])
    found = results[0]["rows"][row]["loss"]
    assert found["mean"] == pytest.approx(losses[row].mean())
    assert found["error"] == pytest.approx(losses[row].std(ddof=1) / np.sqrt(2)) and found["error"] > 0
  found = results[0]["differences"]["alone"]["loss"]
  apart = losses["alone"] - losses["touch"]
  assert found["mean"] == pytest.approx(apart.mean())
  assert found["error"] == pytest.approx(apart.std(ddof=1) / np.sqrt(2))
  text = (whole / "small.md").read_text()
  assert text.startswith("# Does touch help at no size at all?\n")
  assert "| mean | seeds | loss | loss/sight | loss/touch |" in text
  svg = etree.fromstring((whole / "small.svg").read_bytes())
  assert len(svg.findall(".//{*}circle[@class='seed']")) == 2 * (3 + 2)

  # Nothing is left to do; and other settings do not mix with these.
  code, third, err = finish("ablate", *arguments, f"--out={killed}")
  assert code == 0 and len((third + err).splitlines()) == 1
  code, out, err = finish("ablate", *arguments, f"--out={killed}", "--steps=8")
  assert code == 2 and not out and err.count("\n") == 1 and "training.steps=40 (now 8)" in err


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--table=proceses", "--out={new}"], "did you mean 'processes'"),
    (["--out={new}"], "--table is missing"),
    (["--table=processes"], "--out is missing"),
    (["--table=processes", "--out={file}/x"], "cannot write"),
    (["--table=/nowhere.py", "--out={new}"], "cannot read the table"),
    (["--table={bad}", "--out={new}"], "row 'b': unknown config key model.widht: did you mean 'width'"),
  ],
)
def test_misuse_is_one_line_and_leaves_nothing(tmp_path, arguments, words):
  places = {"new": tmp_path / "new", "file": tmp_path / "file", "bad": tmp_path / "bad.py"}
  places["file"].write_text("")
  places["bad"].write_text(
    '"""Why?"""\nBASE = "configs/digits.py"\nSUITES = ()\nROWS = {"a": {}, "b": {"model.widht": 3}}\n'
  )
  code, out, err = finish("ablate", *(argument.format(**places) for argument in arguments))
  assert code == 2 and not out and err.startswith("error: ") and err.count("\n") == 1 and words in err, err
  assert not places["new"].exists()


def test_tables_are_listed():
  code, out, _ = finish("ablate", "--list")
  assert code == 0 and {"processes", "optimizer", "schedule"} <= {
    line.split()[0] for line in out.splitlines()
  }


@pytest.mark.parametrize("path", sorted(TABLES.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_row_of_every_table_can_be_built(path):
  table = read_table(path)
  cells = cells_of(table, Path("nowhere"), 2, 7)
  assert [cell.row for cell in cells] == 2 * list(table["ROWS"])
  assert len({str(cell.folder) for cell in cells}) == len(cells)
  first, *others = cells[: len(cells) // 2]
  for cell in others:
    assert cell.config != first.config and cell.config["seed"] == 0
  assert {cell.config["training"]["steps"] for cell in cells} == {7}
