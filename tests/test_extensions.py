"""The examples of CONTRIBUTING.md work: each needs one new file and one line, and no other change."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.data.build import SOURCES
from stale_jax.errors import UserError
from stale_jax.processes import UniformFlow
from stale_jax.processes.build import PROCESSES
from stale_jax.sampling import SAMPLERS, SOLVERS, solve
from stale_jax.testing.models import drawn
from stale_jax.training.feed import Feed
from stale_jax.training.program import training_program
from stale_jax.training.steps.registry import STEPS
from tests import micro

ROOT = Path(__file__).parents[1]
# Title -> text of each section of the part "Add something".
PAGE = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S))
PROMPT = "a red seven moves left quickly"


@pytest.fixture
def add(tmp_path, monkeypatch):
  """(title, registry) -> the name that the section's example has in the registry until the test ends."""
  package = tmp_path / "extensions"
  package.mkdir()
  (package / "__init__.py").touch()
  monkeypatch.syspath_prepend(tmp_path)
  before = set(sys.modules)

  def register(title: str, registry: dict) -> str:
    path, code = re.search(r"```python\n# (\S+)\n(.*?)```", PAGE[title], re.S).groups()
    (line,) = re.findall(r'^    ("\w+": .*),$', PAGE[title], re.M)
    stem = Path(path).stem
    (package / f"{stem}.py").write_text(code)
    importlib.invalidate_caches()
    module = importlib.import_module(f"extensions.{stem}")
    ((name, entry),) = eval(f"{{{line}}}", vars(module)).items()
    assert name not in registry and not (ROOT / path).exists()
    monkeypatch.setitem(registry, name, entry)
    return name

  yield register
  for name in set(sys.modules) - before:
    if name.split(".")[0] == "extensions":
      del sys.modules[name]


def tiny(**overrides) -> dict:
  """The config of `tests.micro` with one sense, which compiles quickly."""
  config = micro.config(senses=("touch",), training__batch=4, **overrides)
  config["objective"]["weights"] = {}
  return config


def one_step(config: dict) -> dict[str, float]:
  """The metrics of the first training step."""
  experiment = build(config)
  program = training_program(experiment)
  feed = Feed(experiment, program)
  feed.advance()
  state, metrics = program.step(program.fresh(), feed.ahead)
  assert int(state.step) == 1
  return jax.device_get(metrics)


def test_a_process_samples(add):
  model = drawn({**tiny(), "process": {"name": add("A process", PROCESSES)}})
  x = model.system.diffusion.process.prior(jax.random.key(0), (1, 1, 10_000))
  assert np.abs(x).max() <= 1 and np.var(x) == pytest.approx(1 / 6, rel=0.05)  # That of the uniform is 1/3.
  touch = model.sample([PROMPT], [0], steps=2)["touch"]
  assert np.abs(touch).max() <= 1 and touch.shape == (1, 4, 4)


def test_a_source_is_trained_on(add):
  config = {**tiny(), "source": {"name": add("A source", SOURCES), "frames": 4}}
  assert np.isfinite(one_step(config)["loss"])
  with pytest.raises(UserError, match="did you mean 'ramps'"):
    build({**config, "source": {"name": "ramp"}})


def test_a_solver_is_of_second_order(add):
  name = add("A solver", SOLVERS)
  assert build(tiny(sampling__solver=name)).diffusion.sampling.solver == name
  context = Context(text=jnp.zeros((1, 1), jnp.int32))

  def end(solver: str, steps: int) -> float:
    """x at t = 1/2 from x = 1/2 at t = 1, where x0 is estimated as t x: dx/dt = x (1 - t) / t."""
    times = jnp.linspace(1, 0.5, steps + 1)[:, None, None]

    def denoiser(clip, t, context):
      return {"a": clip["a"] * t[..., None]}

    x, keys = {"a": jnp.full((1, 1, 1), 0.5)}, jax.random.split(jax.random.key(0), 1)
    return float(solve(UniformFlow(), denoiser, x, times, context, keys, solver)["a"][0, 0, 0])

  exact = 0.25 * np.exp(0.5)  # x = t exp(1 - t) / 2.
  assert abs(end(name, 8) - exact) < abs(end("euler", 8) - exact) / 10
  assert 3 < (end(name, 4) - exact) / (end(name, 8) - exact) < 5


def test_a_sampler_makes_movies(add):
  model = drawn(tiny(rollout__how=add("A sampler", SAMPLERS)))
  chunks = list(model.rollout([PROMPT], [0], frames=8, steps=2))
  touch = np.concatenate([chunk["touch"] for chunk in chunks], 1)
  assert touch.shape[1] == 8 and (touch == touch[:, ::-1]).all() and np.ptp(touch[:, :4], 1).max() > 0
  with pytest.raises(UserError, match="rollout window=3 does nothing where how='boomerang'"):
    model.rollout([PROMPT], [0], frames=8, window=3)


def test_a_training_step_trains(add):
  name = add("A training step", STEPS)
  assert np.isfinite(one_step({**tiny(), name: {"rate": 1e-3}})["loss"])
  with pytest.raises(UserError, match="lion.rate=-1.0: a positive number is needed"):
    build({**tiny(), name: {"rate": -1.0}})


def test_a_claim_is_reproduced(tmp_path):
  path, code = re.search(r"```python\n# (\S+)\n(.*?)```", PAGE["A claim"], re.S).groups()
  (tmp_path / Path(path).name).write_text(code)
  process = re.search(r"```python\n# \S+\n(.*?)```", PAGE["A process"], re.S)[1]
  (tmp_path / "triangle.py").write_text(process)
  program = (
    "import runpy\n"
    "from experiments import claims\n"
    "from stale_jax.processes.build import PROCESSES\n"
    "from triangle import TriangleFlow\n"
    f"claims.__path__.append({str(tmp_path)!r})\n"
    "PROCESSES['triangle_flow'] = TriangleFlow\n"
    "runpy.run_module('experiments.reproduce', run_name='__main__')\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", program, f"--claim={Path(path).stem}"],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout.splitlines()[-1])
  assert result["claim"] == "triangle_is_bounded" and result["holds"] and 0.9 < result["value"] <= 1
