"""Plans a run on TPUs or GPUs by compiling its training step ahead of time, on a machine without them.

Memory, collectives and array shapes come from the compiler. Operations are counted in the jaxpr. Times are
lower bounds from a roofline model (`planning.roofline`).
"""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import jax

from stale_jax.config import build
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.flops import count
from stale_jax.planning.advice import advice
from stale_jax.planning.chips import Chip, chip_of
from stale_jax.planning.compiled import compile_or_size, held, largest_arrays, sent
from stale_jax.planning.cudnn import pretend_cudnn
from stale_jax.planning.hlo import Program
from stale_jax.planning.prices import PRICES
from stale_jax.planning.report import Plan
from stale_jax.planning.roofline import roofline
from stale_jax.planning.sampler import plan_sampler
from stale_jax.planning.topology import topology_devices
from stale_jax.system import Data
from stale_jax.training.experiment import Experiment
from stale_jax.training.operations import forward_flops
from stale_jax.training.program import batch_shapes, training_program
from stale_jax.training.steps.denoise import Denoise


def built(config: Mapping[str, Any]) -> Experiment:
  """Builds the experiment. If the source has clips of several sizes, only the largest size is planned.

  Raises:
    UserError: the config is of an autoencoder, whose operations are not counted.
  """
  experiment = build(config)
  if experiment.is_autoencoder:
    raise UserError("only diffusion models can be planned, and this config is of an autoencoder.")
  source = experiment.data.source.largest
  senses = build_senses([sense.name for sense in experiment.data.senses], source)
  return dataclasses.replace(experiment, data=Data(source=source, senses=senses))


def fitted(config: Mapping[str, Any], devices: int, slices: int) -> tuple[dict[str, Any], list[str]]:
  """Makes mesh.data a multiple of the number of slices, and training.batch a multiple of its shards.

  Args:
    config: plain data.
    devices: number of devices in all slices.
    slices: number of slices.

  Returns:
    (the changed config, a warning for each change).
  """
  config, warnings = dict(config), []
  mesh, training = dict(config.get("mesh", {})), dict(config.get("training", {}))
  data = mesh.get("data", -1)
  if slices > 1 and data > 0 and data % slices:
    mesh["data"] = data * slices
    warnings.append(f"mesh.data={data} is not a multiple of {slices} slices: planned with {data * slices}.")
  experiment = built({**config, "mesh": mesh})
  sizes, batch = experiment.training.mesh.sizes(devices), experiment.training.settings.batch
  ways = sizes["data"] * sizes["fsdp"] * experiment.training.settings.accumulate
  if batch % ways:
    training["batch"] = -(-batch // ways) * ways
    warnings.append(f"training.batch={batch} is not a multiple of {ways}: planned with {training['batch']}.")
  return {**config, "mesh": mesh, "training": training}, warnings


def plan(
  config: Mapping[str, Any],
  topology: str,
  slices: int = 1,
  *,
  price: float | None = None,
  sampler: bool = True,
  devices: list | None = None,
) -> Plan:
  """Compiles `config` for `slices` slices of `topology` and returns the plan.

  Args:
    config: plain data, as for `stale_jax.train`.
    topology: topology of a slice, for example "v5e:16x16".
    slices: number of slices.
    price: US dollars per chip and hour; default: the list price.
    sampler: whether to compile the sampler too.
    devices: the result of `topology_devices`, if it is known already.

  Raises:
    UserError: the topology is unknown, or the config is invalid or does not fit the mesh.
  """
  chip = chip_of(topology)
  devices = topology_devices(topology, slices) if devices is None else devices
  config, warnings = fitted(config, len(devices), 1 if chip.is_gpu else slices)
  experiment = built(config)
  program = training_program(experiment, devices)
  mesh, batch = program.mesh, experiment.training.settings.batch
  forward, hardware, attention = _operations(experiment, program)
  with pretend_cudnn():
    lowered = program.step.lower(program.state, program.batch)
  began = time.perf_counter()
  memory = {
    "parameters": held(program.state.params),
    "optimizer": held(program.state.opt_state),
    "averages": held((program.state.ema, program.state.tracks)),
  }
  compiled = compile_or_size(lowered)
  took = time.perf_counter() - began
  text, found, largest = Program(""), [], []
  if isinstance(compiled, float):
    memory["temporaries"] = max(0.0, compiled - sum(memory.values()))
  else:
    stats, text = compiled.memory_analysis(), Program(compiled.as_text())
    memory["batch and other"] = max(0.0, stats.argument_size_in_bytes - sum(memory.values()))
    memory["temporaries"] = stats.temp_size_in_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
    memory["program"] = stats.generated_code_size_in_bytes
    found, largest = sent(text, mesh), largest_arrays(text)
  ways, moved = mesh.size, text.hbm_bytes() if text.entry else 0.0
  kernel = experiment.network.attention != "xla"
  products = text.matmul_flops() if text.entry else 0.0
  made = Plan(
    topology=topology,
    slices=slices,
    chip=chip,
    chips=len(devices) // chip.devices,
    devices=len(devices),
    mesh=dict(mesh.shape),
    batch=batch,
    tokens=experiment.data.tokens,
    steps=experiment.training.settings.steps,
    parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(program.state.params)),
    memory=memory,
    available=chip.available,
    largest=largest,
    compiled=not isinstance(compiled, float),
    model_flops=3 * forward * batch / ways,
    hardware_flops=hardware / ways,
    compiler_flops=products + (attention / ways if kernel and products else 0.0),
    hbm=moved,
    collectives=found,
    seconds=roofline(chip, hardware / ways, moved, found),
    price=price if price is not None else list_price(chip),
    warnings=warnings,
    compile_seconds=took,
  )
  made.warnings.extend(advice(made, experiment, program))
  if sampler and made.compiled:
    made = dataclasses.replace(made, sampler=plan_sampler(experiment, program, chip, forward))
  return made


def list_price(chip: Chip) -> float | None:
  """List price of a chip in US dollars per hour; None if it is unknown."""
  return PRICES.get(chip.kind)


def plain(experiment: Experiment):
  """The network of the experiment, with attention as matrix products, which can be counted."""
  return experiment.network.clone(attention="unfused")


def _operations(experiment: Experiment, program) -> tuple[float, float, float]:
  """Counts operations, over all devices.

  Returns:
    Operations of (the forward pass of one clip, loss and gradient of a step, attention within a step).
  """
  one = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), batch_shapes(experiment, program.mesh)
  )
  params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), program.state.params)
  forward, key = forward_flops(experiment), jax.eval_shape(lambda: jax.random.key(0))
  loss = Denoise().loss(dataclasses.replace(experiment, network=plain(experiment)))
  hardware = count(jax.grad(loss, has_aux=True), params, one, key) * experiment.training.settings.batch
  # By formula, because kernels are opaque: two products over all pairs of tokens forward, four backward.
  tokens = experiment.data.tokens
  tokens += experiment.network.text_tokens
  m = experiment.network
  attention = 4.0 * tokens**2 * m.width * m.depth
  again = {"none": 3, "dots": 4, "full": 4}[m.remat]
  return forward, hardware, again * attention * experiment.training.settings.batch
