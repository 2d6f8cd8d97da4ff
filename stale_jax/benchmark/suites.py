"""The suites of measurements: config -> measurements. Networks have random parameters."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.benchmark.measurement import Measurement, compiled_for, peak_bytes, repeated
from stale_jax.clip import Batch, Sense, floats
from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.sampling.samplers import Request, build_sampler
from stale_jax.sampling.settings import Sampling
from stale_jax.training.experiment import Experiment
from stale_jax.training.feed import Feed, batches_of
from stale_jax.training.operations import forward_flops
from stale_jax.training.program import TrainingProgram, training_program
from stale_jax.training.steps.train_step import CLIP

REPETITIONS = 3
_PROMPT = "a red seven moves left quickly"
# Chunks of a rollout that are timed after the cache is full.
_STEADY = 3


def train(config: Mapping[str, Any]) -> Iterator[Measurement]:
  """Measures a training step, and a forward pass of the same batch."""
  experiment = build(config)
  program = training_program(experiment)
  batch = _batch(experiment, program)
  began = time.perf_counter()
  step = program.step.lower(program.state, batch).compile()
  compile_seconds = time.perf_counter() - began
  state = [program.fresh()]

  def run():
    state[0], metrics = step(state[0], batch)
    return metrics

  forward, tokens = forward_flops(experiment), experiment.data.tokens
  size = experiment.training.settings.batch
  common = {"suite": "train", "devices": program.mesh.size, "tokens": size * tokens}
  seconds = repeated(run, REPETITIONS)
  yield Measurement(
    name="training step",
    seconds=seconds,
    flops=3 * forward * size,
    compile_seconds=compile_seconds,
    peak_bytes=peak_bytes(),
    more={"clips": size, "tokens_per_clip": tokens, "parameters": _size(state[0].params)},
    **common,
  )
  clip, t = floats(batch.clip), jnp.full((size, experiment.data.source.frames), 0.5)
  arguments = state[0].params, clip, t, batch.context
  apply, compile_seconds = compiled_for(experiment.network.apply, *arguments)
  yield Measurement(
    name="forward pass",
    seconds=repeated(lambda: apply(*arguments), REPETITIONS),
    flops=forward * size,
    compile_seconds=compile_seconds,
    peak_bytes=peak_bytes(),
    **common,
  )


def sample(config: Mapping[str, Any]) -> Iterator[Measurement]:
  """Measures the sampling of one clip with all its frames together, with the steps of the config."""
  experiment = build(config)
  diffusion = experiment.diffusion
  sampler = build_sampler(dataclasses.replace(diffusion.rollout, how="all_frames"), experiment)
  params, request = _params(experiment), _request(experiment, experiment.data.source.frames)
  began = time.perf_counter()

  def run():
    return list(sampler(params, request))

  run()
  first = time.perf_counter() - began
  settings, data = diffusion.sampling, experiment.data
  evaluations = _evaluations(settings, data.source.frames, data.senses)
  yield Measurement(
    suite="sample",
    name="clip",
    seconds=repeated(run, REPETITIONS),
    flops=forward_flops(experiment) * evaluations,
    tokens=experiment.data.tokens * evaluations,
    peak_bytes=peak_bytes(),
    more={"first_seconds": first, "steps": settings.steps, "evaluations": evaluations},
  )


def rollout(config: Mapping[str, Any]) -> Iterator[Measurement]:
  """Measures the chunks of a causal rollout once its cache is full, and the time to the first chunk."""
  experiment = build(config)
  if not experiment.diffusion.causal:
    raise UserError("the suite rollout needs a causal model: use configs/stale_1b_causal.py.")
  settings, source = experiment.diffusion.rollout, experiment.data.source
  sampler = build_sampler(settings, experiment)
  params, chunk = _params(experiment), settings.chunk
  request = _request(experiment, (source.frames // chunk + _STEADY) * chunk)
  for _ in sampler(params, request):  # Compiles.
    pass
  ends = [time.perf_counter()]
  for _ in sampler(params, request):
    ends.append(time.perf_counter())
  seconds = np.diff(ends).tolist()
  steady = seconds[-_STEADY:]
  yield Measurement(
    suite="rollout",
    name="chunk with a full cache",
    seconds=steady,
    peak_bytes=peak_bytes(),
    more={
      "frames_per_chunk": chunk,
      "frames_per_second": chunk * len(steady) / sum(steady),
      "first_chunk_seconds": seconds[0],
      "steps": experiment.diffusion.sampling.steps,
    },
  )


def load(config: Mapping[str, Any]) -> Iterator[Measurement]:
  """Measures reading batches on the host, without any device."""
  experiment = build(config)
  size = experiment.training.settings.batch
  batches = iter(batches_of(experiment, frozenset({CLIP})))
  next(batches)
  seconds = []
  for _ in range(10 * REPETITIONS):
    began = time.perf_counter()
    batch = next(batches)
    seconds.append(time.perf_counter() - began)
  size_of_batch = sum(x.nbytes for x in batch.clip.values())
  mean = sum(seconds) / len(seconds)
  yield Measurement(
    suite="loader",
    name="batch",
    seconds=seconds,
    more={"clips": size, "clips_per_second": size / mean, "megabytes_per_second": size_of_batch / mean / 1e6},
  )


# Name -> suite. The suite "start" runs whole programs and is in `experiments.benchmark`.
SUITES: dict[str, Callable[[Mapping[str, Any]], Iterator[Measurement]]] = {
  "train": train,
  "sample": sample,
  "rollout": rollout,
  "loader": load,
}


def _evaluations(settings: Sampling, frames: int, senses: Sequence[Sense]) -> int:
  """Evaluations of the network for one clip; a guided one counts as two, or as three if it skips layers."""
  times = np.asarray(settings.times(frames, senses)[:, 0, 0])
  # Heun's method evaluates at both ends of each step.
  times = np.concatenate([times[:-1], times[1:]]) if settings.solver == "heun" else times[:-1]
  guided = (settings.interval[0] <= times) & (times <= settings.interval[1]) & settings.is_guided
  pushed = (settings.skip_interval[0] <= times) & (times <= settings.skip_interval[1]) & guided
  return len(times) + int(guided.sum()) + (int(pushed.sum()) if settings.skip_layers else 0)


def _batch(experiment: Experiment, program: TrainingProgram) -> Batch:
  """The first batch of the run, on the devices."""
  feed = Feed(experiment, program)
  feed.advance()
  return feed.ahead


def _params(experiment: Experiment) -> Any:
  """Random parameters."""
  return jax.jit(experiment.network.init)(jax.random.key(0))


def _request(experiment: Experiment, frames: int) -> Request:
  """A request for one clip of any model."""
  settings = dataclasses.replace(experiment.diffusion.sampling, batch=1)
  return Request(prompts=[_PROMPT], keys=jax.random.key(0)[None], frames=frames, settings=settings)


def _size(params: Any) -> int:
  return sum(x.size for x in jax.tree.leaves(params))
