"""Benchmarks: what a record says of a measurement, how work is counted, and the program."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.benchmark import SUITES, Measurement
from stale_jax.benchmark.suites import _evaluations
from stale_jax.clip import Context, Sense
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.flops import peak_flops
from stale_jax.processes import UniformFlow
from stale_jax.sampling import Sampling, sample
from stale_jax.sampling.guiding import guided, guiding_of
from stale_jax.training.operations import forward_flops
from tests import micro
from tests.models import small
from tests.programs import finish


def test_a_record_has_medians_and_utilisation():
  measurement = Measurement(
    suite="train", name="x", seconds=[3.0, 1.0, 2.0], devices=2, flops=8e12, tokens=100, more={"clips": 4}
  )
  record = measurement.record(4e12)
  assert (record["seconds"], record["fastest"], record["slowest"], record["repetitions"]) == (2, 1, 3, 3)
  assert record["tflops_per_device"] == 2 and record["mfu_of_product"] == 0.5 and record["clips"] == 4
  assert record["tokens_per_second"] == 50
  # The peak of a CPU is unknown.
  assert record["mfu"] is None and json.loads(json.dumps(record)) == record


def test_peaks_are_those_of_the_device():
  assert peak_flops("TPU v5 lite") == 197e12 and peak_flops("TPU v5") == 459e12
  assert peak_flops("TPU7x") == 2307e12 / 2
  assert peak_flops("NVIDIA H200") == 989e12 and peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
  assert peak_flops("cpu") is None


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.3, 0.9)])
@pytest.mark.parametrize("layers", [(), (1,)])
def test_evaluations_are_those_that_the_sampler_makes(solver, interval, layers):
  skip = {"skip_layers": layers, "skip_interval": (0.5, 0.95)}
  settings = Sampling(solver=solver, steps=6, guidance=2.0, interval=interval, shift=3.0, batch=1, **skip)
  rows, transformer = [], small.model()

  def network(clip, t, context):
    jax.debug.callback(lambda: rows.append(len(t)))
    return jax.tree.map(jnp.zeros_like, clip)

  guiding = guiding_of(settings, UniformFlow(), transformer)
  denoiser = guided(guiding, transformer, lambda _: network, settings.guidance, interval)
  sense = Sense(name="touch", shape=(2,), rate=8, patch=(1,), channels=("a", "b"))
  context = Context(text=jnp.zeros((1, 8), jnp.int32))
  keys = jax.random.key(0)[None]
  jax.block_until_ready(
    sample(UniformFlow(), denoiser, (sense,), settings.times(2), context, keys, settings.solver)
  )
  jax.effects_barrier()
  assert _evaluations(settings, 2, (sense,)) == sum(rows)


def test_operations_of_attention_are_those_of_visible_pairs():
  sizes = {"source__canvas": 24, "source__frames": 8, "times__independent": True}
  full = forward_flops(experiment := build(micro.config(**sizes)))
  causal = forward_flops(build(micro.config(model__causal=True, **sizes)))
  source, senses = experiment.data.source, experiment.data.senses
  last = [-1] * 12  # The caption, of 48 bytes.
  for sense in senses:
    times, *places = sense.grid(source.frames)
    last += [(i + 1) * sense.patch[0] - 1 for i in range(times) for _ in range(math.prod(places))]
  last = np.array(last)
  hidden = (last > last[:, None]).sum()
  # Two products of 32 features, in one block.
  assert hidden > 0 and full - causal == 4 * 32 * hidden


def test_a_model_that_is_not_causal_has_no_rollouts():
  with pytest.raises(UserError, match="use configs/stale_1b_causal.py"):
    next(SUITES["rollout"](micro.config()))


@pytest.mark.slow
@pytest.mark.system
def test_the_program_prints_a_line_for_each_measurement(tmp_path):
  flags = [f for f in micro.arguments(tmp_path) if not f.startswith("--workdir")]
  out = tmp_path / "all.json"
  code, text, err = finish("benchmark", *flags, "--suite=start,train,sample,loader", f"--json={out}")
  assert code == 0, err
  records = [json.loads(line) for line in text.splitlines()]
  assert records == json.loads(out.read_text())
  names = [(record["suite"], record.get("name")) for record in records]
  assert names == [
    ("machine", "matrix product"),
    ("start", "cold"),
    ("start", "warm"),
    ("train", "training step"),
    ("train", "forward pass"),
    ("sample", "clip"),
    ("loader", "batch"),
  ]
  by_name = {record["name"]: record for record in records}
  assert by_name["warm"]["seconds"] < by_name["cold"]["seconds"]
  assert 0 < by_name["training step"]["mfu_of_product"] < 1
  assert by_name["clip"]["steps"] == 4

  causal = (
    "--config.model.causal=True",
    "--config.times.independent=True",
    "--config.rollout.how=causal",
    "--config.rollout.chunk=2",
  )
  code, text, err = finish("benchmark", *flags, "--suite=rollout", *causal)
  assert code == 0, err
  (record,) = map(json.loads, text.splitlines())
  assert record["frames_per_second"] == pytest.approx(
    record["frames_per_chunk"] / np.mean(record["seconds"]), rel=1
  )


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--suite=trian",), "unknown suite 'trian': choose start, train"),
    (("--suite=loader", "--peer=diffusers"), "--peer is compared with the suite train"),
    (("--suite=loader", "--json=/nowhere/x.json"), "there is no folder /nowhere"),
  ],
)
@pytest.mark.system
def test_what_cannot_be_measured_is_refused(arguments, words):
  code, _, err = finish("benchmark", "--config=configs/digits.py", *arguments)
  assert code == 2 and words in err and len(err.strip().splitlines()) == 1
