"""Plans: the roofline by hand, what fits by estimate, and a small one by the TPU's own compiler."""

import dataclasses
import importlib
import importlib.util
import json
import math
import re
from unittest import mock

import jax
import pytest

from configs import autoencoder_digits, stale_1b, stale_14b
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.mesh import MeshShape
from stale_jax.planning import plan
from stale_jax.planning.chips import CHIPS, chip_of
from stale_jax.planning.collectives import Collective
from stale_jax.planning.estimate import Sizes, estimate
from stale_jax.planning.fit import candidates, rank
from stale_jax.planning.report import Plan
from stale_jax.planning.roofline import roofline
from tests.programs import finish

# The package offers a function of the module's name.
fit = importlib.import_module("stale_jax.planning.fit")
V5E = CHIPS["v5e"]
HAS_COMPILER = importlib.util.find_spec("libtpu") is not None
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="libtpu is not installed: pip install '.[plan]'")
SMALL = {
  "model.depth": 2,
  "model.width": 256,
  "model.heads": 2,
  "model.text_width": 64,
  "model.condition_width": 64,
  "model.text_length": 64,
  "source.height": 16,
  "source.width": 16,
  "source.frames": 4,
  "mesh.context": 2,
  "mesh.ulysses": 2,
}


def sent(kind, axes, size, amount, slices=False):
  return Collective(kind, axes, size, slices, 1, amount)


def test_what_hides_and_what_does_not():
  # Along one axis of a v5e's torus 100 GB a second.
  gather = sent("all-gather", ("fsdp",), 16, 50e9)
  swap = sent("all-to-all", ("ulysses",), 8, 10e9)
  far = sent("all-reduce", ("data",), 2, 3.125e9, True)
  seconds = roofline(V5E, 197e12, 81.9e9, [gather, swap, far])
  assert seconds.flops == pytest.approx(1) and seconds.hbm == pytest.approx(0.1)
  assert seconds.hidden == pytest.approx(0.5)
  assert seconds.exposed == pytest.approx(0.2)  # Through eight, twice as far as through four.
  assert seconds.dcn == pytest.approx(1) and seconds.step == pytest.approx(1.2)
  assert roofline(V5E, 0.0, 0.0, [gather, gather]).step == pytest.approx(1)


def test_topologies_are_known_or_the_nearest_is_named():
  assert chip_of("v5e:16x16") is V5E and chip_of("7x:4x4x4").devices == 2
  for name, words in (
    ("v5e:16by16", "did you mean 'v5e:16x16'"),
    ("v5q:4x4x4", "v5p:4x4x4"),
    ("v5p:4x4", "v5p:4x4x"),
  ):
    with pytest.raises(UserError, match=re.escape(words)):
      chip_of(name)


OF = Sizes(parameters=1e9, held=16.0, forward=1e14, tokens=30_000, width=2048, depth=20)


def test_the_search_keeps_to_memory_and_takes_the_fastest():
  many = candidates(16, 256, 1, 64)
  assert {c.mesh.ulysses for c in many} == {1, 2, 4, 8, 16} and len(set(many)) == len(many)
  assert all(c.mesh.fsdp * c.mesh.context == 256 and c.batch % c.mesh.fsdp == 0 for c in many)
  assert max(c.batch for c in many) <= 4 * 64
  for room in (3e9, 6e9, 14e9):
    found = rank(OF, V5E, many, 1, room)
    assert all(e.memory <= room for _, e in found)
    rates = [c.batch / e.seconds.step for c, e in found]
    fits = [estimate(OF, V5E, c.mesh, c.batch, c.remat) for c in many]
    best = max(c.batch / e.seconds.step for c, e in zip(many, fits, strict=True) if e.memory <= room)
    assert rates[0] == pytest.approx(best, rel=1e-3)
  fewer = [len(rank(OF, V5E, many, 1, room)) for room in (1e9, 3e9, 6e9, 14e9)]
  assert fewer == sorted(fewer) and fewer[0] < fewer[-1]


def test_more_remat_takes_less_memory_and_more_time():
  mesh = MeshShape(data=1, fsdp=64, context=4, ulysses=4)
  found = [estimate(OF, V5E, mesh, 64, remat) for remat in ("none", "dots", "full")]
  assert found[0].memory > found[1].memory > found[2].memory
  assert found[0].seconds.flops < found[1].seconds.flops < found[2].seconds.flops


def run(*arguments, config="configs/stale_1b.py:480p", **overrides):
  given = [f"--config.{key}={value}" for key, value in {**SMALL, **overrides}.items()]
  return finish("plan", f"--config={config}", *arguments, *given, PYTHONWARNINGS="ignore")


@needs_compiler
def test_a_small_plan_by_the_tpus_compiler(tmp_path):
  page = tmp_path / "plan.html"
  code, out, err = run("--topology=v5e:2x2", "--nosampler", f"--html={page}", **{"training.batch": 3})
  assert code == 0, err
  assert not err, err
  said = json.loads(out.splitlines()[-1])
  wanted = "fits memory_gib headroom_gib flops step_seconds mfu tokens_per_second collective_gib dollars"
  assert set(wanted.split()) <= set(said) and said["fits"] is True
  # What the state holds is known: four float32 of each parameter, cut into four parts but for small ones.
  state = sum(said["memory"][name] for name in ("parameters", "optimizer", "averages"))
  assert state * 2**30 == pytest.approx(4 * 4 * said["parameters"] / 4, rel=0.02)
  # A batch of three does not divide by two.
  assert said["batch"] == 4 and any("is not a multiple" in warning for warning in said["warnings"])
  assert said["compiler_flops"] == pytest.approx(said["flops"], rel=0.05)
  # Blocks are computed again: a third more than the model asks for.
  assert 1.2 < said["flops"] / said["model_flops"] < 1.4
  kinds = {(c["kind"], tuple(c["axes"])) for c in said["collectives"]}
  assert ("all-gather", ("fsdp", "ulysses")) in kinds and ("all-to-all", ("ulysses",)) in kinds
  # Queries, keys, values and the answer of two layers, there, again and back: 24 swaps.
  swaps = next(c for c in said["collectives"] if c["kind"] == "all-to-all")
  assert swaps["count"] == 24
  assert "<svg" in page.read_text() and "http" not in page.read_text().replace("http://www.w3.org", "")


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--topology=v5e:16by16"], "did you mean 'v5e:16x16'"),
    (["--topology=v5e:2x2", "--price_per_hour=-1"], "--price_per_hour=-1"),
    (["--topology=v5e:2x2", "--num_slices=0"], "num_slices"),
    ([], "topology"),
  ],
)
def test_misuse_is_one_line(arguments, words):
  code, out, err = run(*arguments)
  assert code == 2 and not out and err.startswith("error: ") and err.count("\n") == 1 and words in err, err


def test_an_autoencoder_is_not_planned():
  config = autoencoder_digits.get_config().to_dict()
  with pytest.raises(UserError, match="of an autoencoder"):
    plan(config, "v5e:2x2", devices=jax.devices())


def test_without_the_compiler_it_says_what_to_install():
  code, out, err = finish(
    "plan", "--config=configs/stale_1b.py", "--topology=v5e:2x2", PYTHONPATH="", PYTHONNOUSERSITE="1"
  )
  if code == 0:
    pytest.skip("libtpu is installed beside the other packages.")
  assert code == 2 and not out and err.count("\n") == 1 and "pip install 'stale_jax[plan]'" in err


def test_the_configs_are_what_they_say():
  for module, resolution, tokens in ((stale_1b, "480p", 32_760), (stale_14b, "720p", 75_600)):
    experiment = build(module.get_config(resolution).to_dict())
    assert math.prod(experiment.data.senses[0].grid(experiment.data.source.frames)) == tokens
    # Twelve squares of the width a block, and what the text and the times add.
    squares = 12 * experiment.network.width**2 * experiment.network.depth
    size = {stale_1b: 1.3e9, stale_14b: 14.2e9}[module]
    assert 0.75 * size < squares < 0.9 * size


class Compiler:
  """Answers in place of `plan`: memory is `times` what was estimated, up to `room` bytes fit."""

  def __init__(self, times, room):
    self.times, self.room, self.asked = times, room, []

  def __call__(self, config, topology, slices, *, devices, **_):
    mesh = MeshShape(**config["mesh"])
    remat, batch = config["model"]["remat"], config["training"]["batch"]
    of = fit.describe(config)[1]
    used = self.times * estimate(of, V5E, mesh, batch, remat).memory
    self.asked.append((batch, remat, mesh.ulysses))
    return mock.Mock(spec=Plan, used=used, fits=used <= self.room)


def test_the_search_goes_on_where_the_compiler_needs_more(monkeypatch):
  chip = dataclasses.replace(V5E, memory=40e6)
  monkeypatch.setattr(fit, "chip_of", lambda _: chip)
  monkeypatch.setattr(fit, "topology_devices", lambda *_: [None] * 4)
  config = stale_1b.get_config("480p")
  config.update_from_flattened_dict({**SMALL, "training.batch": 8})
  config = config.to_dict()
  truthful, greedy = Compiler(1, 40e6), Compiler(1.7, 40e6)
  found = []
  for compiler in (truthful, greedy):
    monkeypatch.setattr(fit, "plan", compiler)
    made, flags = fit.fit(config, "v5e:2x2", sampler=False)
    assert made.fits
    found.append(flags["training.batch"])
    assert (flags["training.batch"], flags["model.remat"], flags["mesh.ulysses"]) == compiler.asked[-1]
  # It believed the first answer; and having been told of more, asked for less.
  assert len(truthful.asked) == 1 and len(greedy.asked) == 2 and greedy.asked[0] == truthful.asked[0]
  monkeypatch.setattr(fit, "plan", Compiler(100, 40e6))
  with pytest.raises(UserError, match="no plan fits"):
    fit.fit(config, "v5e:2x2", sampler=False)
