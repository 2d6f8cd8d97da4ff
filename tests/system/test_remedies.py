"""The comparison of remedies: what its columns are of, and cells that are not mixed up."""

import json

import pytest

from experiments.remedies import prepare, scores_of
from stale_jax.errors import UserError
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


def test_cells_of_other_settings_are_not_taken_for_these(tmp_path):
  settings = {"model": "causal", "windows": 10, "clips": 8, "steps": None}
  prepare(tmp_path, settings)
  prepare(tmp_path, settings)
  with pytest.raises(UserError, match="another windows, steps; choose another --out"):
    prepare(tmp_path, {**settings, "windows": 50, "steps": 6})
  assert json.loads((tmp_path / "settings.json").read_text()) == settings


def test_the_program_says_so_in_a_line(tmp_path):
  (tmp_path / "settings.json").write_text(json.dumps({"model": "another", "windows": 50, "clips": 8}))
  code, _, err = finish("remedies", "--workdir=causal", f"--out={tmp_path}", "--windows=10")
  assert code == 2 and "another model, windows; choose another --out" in err and "Traceback" not in err
  assert not (tmp_path / "remedies.md").exists()
