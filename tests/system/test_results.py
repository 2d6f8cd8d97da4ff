"""The page of results is what the recorded results say."""

import json

from tests.programs import ROOT, finish

RESULTS = ROOT / "docs" / "results"


def test_rendering_the_results_again_changes_nothing(tmp_path):
  page = tmp_path / "results.md"
  code, _, err = finish("results", f"--results={RESULTS}", f"--out={page}")
  assert code == 0, err
  assert page.read_text() == (ROOT / "docs" / "results.md").read_text()


def test_every_recorded_result_is_of_a_claim_and_says_where_it_was_measured():
  code, out, _ = finish("reproduce", "--list")
  assert code == 0
  names = {line.split()[0] for line in out.splitlines()}
  for path in set(RESULTS.glob("*.json")) - set(RESULTS.glob("gpu_*.json")):
    result = json.loads(path.read_text())
    assert result["claim"] == path.stem and path.stem in names
    assert {"value", "bar", "holds", "seed", "machine", "date", "commit"} <= result.keys()


def test_a_claim_is_recorded(tmp_path):
  code, out, err = finish("reproduce", "--claim=self_forcing_d1", f"--results={tmp_path}")
  assert code == 0, err
  printed = json.loads(out.splitlines()[-1])
  recorded = json.loads((tmp_path / "self_forcing_d1.json").read_text())
  assert recorded.items() >= printed.items() and recorded["claim"] == "self_forcing_d1"
  code, _, err = finish("reproduce", "--claim=self_forcing_d1", f"--results={tmp_path}/none")
  assert code == 2 and "is not a folder" in err


def test_benchmarks_on_gpus_are_a_table_of_their_own(tmp_path):
  code, _, err = finish(
    "benchmark", "--suite=loader", "--config=configs/digits.py", f"--json={tmp_path / 'gpu_loader.json'}"
  )
  assert code == 0, err
  page = tmp_path / "results.md"
  code, _, err = finish("results", f"--results={tmp_path}", f"--out={page}")
  assert code == 0, err
  assert (
    "## Benchmarks on GPUs" in page.read_text() and "configs/digits.py | loader | batch |" in page.read_text()
  )
