"""Two processes sample, measure and evaluate together: the results of one process on as many devices."""

import json

import numpy as np
import pytest

from tests import hosts, micro

PROMPT = "a red seven moves left quickly"


def together(folder, name, *arguments, count):
  """Runs experiments.`name` in `count` processes of 4 devices in all; returns what the first one said."""
  several = ["--mesh=data=1,fsdp=2,tensor=2", f"--processes={count}"]
  started = hosts.start(folder, count, name, *arguments, *several, devices=4 // count)
  for host in started:
    assert host.exit_code() == 0, host.said()
  # The second process is silent, except for the library that connects the two.
  assert count == 1 or all(line.startswith("[Gloo]") for line in started[1].said().splitlines())
  return started[0].said()


@pytest.mark.slow
def test_two_processes_make_and_measure_what_one_does(micro_run, tmp_path):
  run = f"--workdir={micro_run}"
  scores = []
  for count in (1, 2):
    said = together(tmp_path / "logs", "evaluate", run, "--suite=denoising", "--clips=8", count=count)
    scores.append(json.loads(said.strip().splitlines()[-1])["loss"])
    together(
      tmp_path / "logs", "generate", run, f"--prompt={PROMPT}", f"--out={tmp_path / str(count)}", count=count
    )
  assert scores[0] == pytest.approx(scores[1], rel=1e-4)
  (one,), (two,) = (sorted((tmp_path / str(count)).rglob("*.npz")) for count in (1, 2))
  for sense, values in np.load(one).items():
    np.testing.assert_allclose(np.load(two)[sense], values, atol=5e-3)


@pytest.mark.slow
def test_two_processes_evaluate_within_training_on_the_mesh(tmp_path):
  options = {
    "training__steps": 8,
    "training__log_every": 4,
    "training__silence": 100,
    "mesh__fsdp": 2,
    "mesh__tensor": 2,
    "ema__snapshots": 0,
    "evaluation__every": 4,
    "evaluation__clips": 4,
    "evaluation__suites": ("denoising", "captions"),
    "evaluation__prompts": (PROMPT,),
  }
  found = []
  for count in (1, 2):
    folder = tmp_path / str(count)
    command = micro.arguments(folder, **options, training__processes=count)
    for host in hosts.start(tmp_path / "logs", count, "train", *command, devices=4 // count):
      assert host.exit_code() == 0, host.said()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found.append([line for line in lines if "denoising/loss" in line])
    board = b"".join(path.read_bytes() for path in (folder / "tensorboard").iterdir())
    assert board.count(b"GIF89a") == 2
  assert [line["step"] for line in found[0]] == [line["step"] for line in found[1]] == [4, 8]
  for a, b in zip(*found, strict=True):
    assert a["denoising/loss"] == pytest.approx(b["denoising/loss"], rel=1e-3)


def test_misuse_is_one_line(tmp_path):
  for flags, words in (
    (["--processes=2"], "needs --mesh"),
    (["--mesh=fsdp"], "is not of the form axis=size"),
    (["--mesh=fdsp=1"], "did you mean 'fsdp'"),
    (["--mesh=fsdp=3"], "does not fit 1 device"),
  ):
    (host,) = hosts.start(
      tmp_path / "logs", 1, "evaluate", "--suite=denoising", *flags, JAX_NUM_PROCESSES="1"
    )
    assert host.exit_code() == 2 and words in host.said() and host.said().count("\n") == 1, host.said()
