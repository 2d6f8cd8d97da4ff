"""The comparison of remedies: what its columns are of, and cells that are not mixed up."""

import json

import pytest

from stale_jax.errors import UserError
from stale_jax.evaluation.remedies import read_cell, scores_of, told_by_all
from stale_jax.evaluation.table import markdown
from tests.programs import finish

PERFECT = {"dead": 0.0, "saturation_drift": 0.0, "luma_drift": 0.0}


def found(points: int, **captions) -> dict:
  return {**PERFECT, **captions, "curves": {"liveliness": [1.0] * points, "retention": [1.0] * points}}


def test_what_is_shorter_than_a_column_asks_for_has_none():
  said = scores_of(found(12), 12)
  assert {said[name] for name in ("live", "live@10", "retention", "retention@10")} == {1.0}
  short = scores_of(found(2), 2)
  assert short["live"] == short["retention"] == 1 and "live@10" not in short


def test_captions_are_told_where_they_are_read():
  assert "caption" not in scores_of(found(12), 12)
  assert scores_of(found(12, **{"caption/first": 0.8, "caption/last": 0.6}), 12)["caption"] == pytest.approx(
    0.75
  )


def test_a_score_that_a_seed_lacks_is_an_empty_cell():
  read, blank = ({"caption/first": x, "caption/last": x} for x in (0.8, 0.0))
  for order in ((read, blank), (blank, read)):
    row = {seed: scores_of(found(2, **captions), 2) for seed, captions in enumerate(order)}
    done = {"real clips": row, "none": {0: scores_of(found(12, **read), 12)}}
    assert set(told_by_all(done)["real clips"][0]) == {"live", "retention", "dead", "saturation", "luma"}
    table = markdown(told_by_all(done), "", "", {})
    named, cells = (
      next(line for line in table.splitlines() if line.startswith(name)).split(" | ")
      for name in ("| mean", "| real clips")
    )
    assert [cells[named.index(name)].strip() for name in ("live@10", "retention@10")] == ["", ""]


def test_cells_of_other_settings_are_not_taken_for_these(tmp_path):
  settings, path = {"model": "causal", "windows": 10, "clips": 8, "steps": None}, tmp_path / "none-0.json"
  assert read_cell(path, settings) is None
  path.write_text(json.dumps({**found(10), "settings": settings}))
  assert read_cell(path, settings)["dead"] == 0
  with pytest.raises(UserError, match="other values of windows, steps; choose another --out"):
    read_cell(path, {**settings, "windows": 50, "steps": 6})
  path.write_text(json.dumps(found(10)))
  with pytest.raises(UserError, match="other values of model, windows, clips, steps; choose another --out"):
    read_cell(path, settings)


def test_the_program_says_so_in_a_line(tmp_path):
  cell = {**found(50), "settings": {"model": "another", "windows": 50, "clips": 8, "steps": None}}
  (tmp_path / "rope jitter-0.json").write_text(json.dumps(cell))
  code, _, err = finish(
    "remedies", "--workdir=causal", f"--out={tmp_path}", "--windows=10", "--seeds=1", limit=120
  )
  assert (
    code == 2 and "other values of model, windows; choose another --out" in err and "Traceback" not in err
  )
  assert len(err.strip().splitlines()) == 1 and len(list(tmp_path.iterdir())) == 1
