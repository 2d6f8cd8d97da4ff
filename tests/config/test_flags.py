"""Config flags: any key, with its type; and the program that prints configs."""

import subprocess
import sys

import pytest

from stale_jax.config import resolve
from stale_jax.renamed import with_new_names
from tests.programs import ROOT, finish

PROCESS = {"process": {"name": "uniform_flow"}}
DIGITS = "--config=configs/digits.py"
PARTIAL = """
from ml_collections import ConfigDict

def get_config():
  return ConfigDict({"senses": ("state",), "source": {"name": "lorenz"}, "process": {"name": "vp"}})
"""


def test_keys_that_the_file_does_not_list_are_set(tmp_path):
  (tmp_path / "partial.py").write_text(PARTIAL)
  flags = {
    "training.processes": "2",
    "mesh.tensor": "2",
    "model.remat": "dots",
    "cringe.weight": "0.1",
    "adapter.name": "lora",
    "adapter.rank": "2",
    "optimizer.name": "adamw",
    "optimizer.b1": "0.5",
    "sampling.interval": "(0.25, 0.75)",
    "process.schedule": "linear",
  }
  arguments = [f"--config={tmp_path / 'partial.py'}", *(f"--config.{k}={v}" for k, v in flags.items())]
  code, out, err = finish("config", *arguments, "--config.objective.weights.state=0.5")
  assert code == 0, err
  for key, value in flags.items():
    text = value if value[0] in "(0123456789" else repr(value)
    assert f"\nconfig.{key} = {text} " in out, key
  assert "\nconfig.objective.weights = {'state': 0.5} " in out
  assert "# total number of optimizer updates. (a whole number, at least 1)" in out


def test_a_reader_that_has_seen_enough_ends_the_program_quietly():
  command = f"{sys.executable} -m experiments.config {DIGITS} | head -1"
  done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert done.stdout.startswith("config.seed = 0") and not done.stderr, done.stderr


def test_old_names_still_work_and_say_what_they_are_called_now():
  """On the command line, in a file or an old config.json, and in Python."""
  code, out, err = finish("config", "--config=configs/digits_micro.py", "--config.rollout.given=3")
  assert code == 0 and "\nconfig.rollout.conditioning_frames = 3 " in out, err
  assert "rollout.given is now called conditioning_frames" in err
  with pytest.warns(FutureWarning, match="rollout.given is now called conditioning_frames"):
    tree = resolve({"senses": ("sight",), "source": {"name": "digits"}, **PROCESS, "rollout": {"given": 2}})
  assert tree["rollout"]["conditioning_frames"] == 2 and "given" not in tree["rollout"]
  with pytest.warns(FutureWarning):
    assert with_new_names("rollout", {"given": 2, "how": "windows"}) == {
      "conditioning_frames": 2,
      "how": "windows",
    }


def test_the_difference_between_two_configs_is_printed():
  code, out, err = finish(
    "config", DIGITS, "--config.seed=3", "--diff=configs/digits_cringe.py", "--diff.seed=4"
  )
  assert code == 0, err
  assert out.splitlines() == [
    "-config.seed = 4",
    "+config.seed = 3",
    "-config.cringe.weight = 0.1",
    "-config.cringe.emoji = '😂'",
    "+config.cringe = None",
  ]


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--config.training.procesess=2"], "unknown config key training.procesess: did you mean 'processes'"),
    (["--config.cringe.wieght=2"], "unknown config key cringe.wieght: did you mean 'weight'"),
    (["--config.training.steps=many"], "config.training.steps"),
    (["--config.training.steps=0"], "training.steps=0: at least 1 is needed"),
    (["--config.optimizer.name=adam"], "unknown optimizer.name 'adam': did you mean 'adamw'"),
  ],
)
def test_misuse_is_one_line(arguments, words):
  code, out, err = finish("config", DIGITS, *arguments)
  assert code == 2 and not out and err.count("\n") == 1 and words in err, err


@pytest.mark.parametrize(
  ("config", "words"),
  [
    ("stale_1b.py:4k", "unknown variant '4k' of the config: valid: 480p, 720p"),
    ("cartoons_small.py:frame", "did you mean 'frames'"),
    ("digits.py:large", "configs/digits.py has no variants: leave out :large"),
    ("of_run.py", "configs/of_run.py needs a variant"),
  ],
)
def test_an_unknown_variant_is_one_line(config, words):
  code, out, err = finish("config", f"--config=configs/{config}")
  assert code == 2 and not out and err.count("\n") == 1 and words in err, err
