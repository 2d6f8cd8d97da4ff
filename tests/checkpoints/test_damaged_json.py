"""A JSON or YAML file of a run that is damaged is named in one line, or of no consequence; never a trace."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from stale_jax.checkpoints.load import model_at
from stale_jax.checkpoints.weights import save_weights
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.evaluation.remedies import read_cell
from stale_jax.pipeline import load
from stale_jax.run import train
from stale_jax.scores import read_scores
from stale_jax.script import read_script
from stale_jax.training.goodput import Goodput
from stale_jax.training.initial import init_params
from stale_jax.training.metrics import Metrics
from tests import micro
from tests.programs import finish, start

BROKEN = {
  "null": b"null",
  "a number": b"3",
  "a list": b"[]",
  "a text": b'"config"',
  "empty": b"",
  "cut short": b'{"a": 1',
  "not UTF-8": b'{"a": "\xff"}',
  "UTF-16": '{"a": 1}'.encode("utf-16"),
  "too deep": b"[" * 100_000,
  "a long number": b'{"a": 1' + b"0" * 5000 + b"}",
}
broken = pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)


def refuses(path, function, *arguments):
  with pytest.raises(UserError) as error:
    function(*arguments)
  assert str(path) in str(error.value) and "\n" not in str(error.value), error.value


@broken
def test_the_config_of_a_run(tmp_path, content):
  (tmp_path / "checkpoints").mkdir()
  path = tmp_path / "config.json"
  path.write_bytes(content)
  refuses(path, load, tmp_path)
  assert path.read_bytes() == content


@broken
def test_the_config_in_a_weights_file(tmp_path, content):
  try:
    metadata = {"config": content.decode()}
  except UnicodeDecodeError:
    pytest.skip("safetensors writes no such text")
  path = tmp_path / "w.safetensors"
  save_file({"x": np.ones(2)}, path, metadata)
  refuses(path, model_at, path)


@broken
def test_the_scores_of_a_run(tmp_path, content):
  path = tmp_path / "evaluation.json"
  path.write_bytes(content)
  refuses(path, read_scores, tmp_path)
  assert path.read_bytes() == content


def test_scores_that_are_none(tmp_path):
  (tmp_path / "evaluation.json").write_text('{"captions": 3}')
  refuses(tmp_path / "evaluation.json", read_scores, tmp_path)
  (tmp_path / "evaluation.json").write_text('{"captions": {"digit": 1.0}}')
  assert read_scores(tmp_path) == {"captions": {"digit": 1.0}}


@broken
def test_a_cell_of_remedies(tmp_path, content):
  path = tmp_path / "cell.json"
  path.write_bytes(content)
  refuses(path, read_cell, path, {"windows": 3})
  path.write_text('{"settings": 3}')
  refuses(path, read_cell, path, {"windows": 3})


@pytest.mark.parametrize("content", [*BROKEN.values(), b"- &a [*a]", b"!!python/object:os.system {}"])
def test_a_script(tmp_path, content):
  path = tmp_path / "script.yaml"
  path.write_bytes(content)
  if content != BROKEN["a list"]:
    refuses(path, read_script, path)


@broken
def test_records_that_a_run_makes_again(tmp_path, content):
  good = {"step": 4, "loss": 1.0, "productive_seconds": 2.0}
  lines = [json.dumps(good).encode(), content.replace(b"\n", b" "), b'{"step": null}', b'{"step": "4"}']
  (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
  (tmp_path / "started.json").write_bytes(content)
  Metrics(tmp_path, 4, 8).close()
  assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()] == [good]
  assert json.loads((tmp_path / "started.json").read_text()).keys() == {"boot", "monotonic", "wall"}
  Goodput(tmp_path)


def test_two_suites_that_are_measured_at_once_are_both_kept(micro_run, tmp_path):
  run = shutil.copytree(micro_run, tmp_path / "run")
  (run / "evaluation.json").unlink(missing_ok=True)
  suites = ("denoising", "likelihood")
  started = [start("evaluate", f"--workdir={run}", f"--suite={suite}", "--clips=4") for suite in suites]
  for process in started:
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
  assert read_scores(run).keys() == set(suites)


def test_programs_print_one_line(micro_run, tmp_path):
  run, out = shutil.copytree(micro_run, tmp_path / "run"), tmp_path / "movies"
  (run / "evaluation.json").write_text("3")
  code, said, err = finish("generate", f"--workdir={run}", "--prompt=a red seven", f"--out={out}")
  assert code == 2 and not said and err.count("\n") == 1 and not out.exists(), err
  assert f"{run}/evaluation.json holds 3 instead of a JSON object" in err
  (run / "config.json").write_text("null")
  for program in (
    ["train", *micro.arguments(run)],
    ["train", f"--config=configs/of_run.py:{run}/config.json", f"--workdir={tmp_path}/new"],
    ["evaluate", f"--workdir={run}", "--suite=denoising"],
    ["excavate", f"--workdir={run}"],
  ):
    code, said, err = finish(*program)
    assert code == 2 and not said and err.count("\n") == 1, err
    assert f"{run}/config.json holds null instead of a JSON object" in err
  assert (run / "config.json").read_text() == "null" and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
  "change", [{"senses": 3}, {"senses": [1]}, {"surce": {}}, {"format": []}, {"format": "two"}]
)
def test_a_config_that_is_none_is_named(tmp_path, change):
  params = init_params(build(micro.config()), jax.random.key(0))
  save_weights(tmp_path / "w.safetensors", params, micro.config())
  load(tmp_path / "w.safetensors")
  save_weights(tmp_path / "w.safetensors", params, {**micro.config(), **change})
  refuses(tmp_path / "w.safetensors", load, tmp_path / "w.safetensors")
  (tmp_path / "run").mkdir()
  text = json.dumps({"format": 2, **micro.config(), **change})
  (tmp_path / "run" / "config.json").write_text(text)
  refuses(tmp_path / "run" / "config.json", train, micro.config(), tmp_path / "run")
  assert (tmp_path / "run" / "config.json").read_text() == text
