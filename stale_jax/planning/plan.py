"""What a run will need and cost, from compiling its very training step for chips that are not there.

Memory, collectives and the shapes of all that runs are the compiler's; operations are counted in the
jaxpr; seconds are the roofline's (`planning.roofline`), the least that they can be.
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from stale_jax.clip import floats
from stale_jax.config import build
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.mesh import batch_sharding, on_mesh, parts, path_name, uncut
from stale_jax.models.text import PATCH
from stale_jax.planning.chips import Chip, chip_of
from stale_jax.planning.collectives import Collective, collectives
from stale_jax.planning.flops import count
from stale_jax.planning.hlo import Program
from stale_jax.planning.prices import PRICES
from stale_jax.planning.roofline import Seconds, roofline
from stale_jax.planning.topology import topology_devices
from stale_jax.sampling import classifier_free
from stale_jax.system import Data
from stale_jax.training.experiment import Experiment
from stale_jax.training.program import loss_of, training_program

GIB = 2**30
# Of HBM, what the runtime keeps for itself: the compiler allows 15.75 of a v5e's 16 GiB.
_RESERVED = 1 / 64
_BOUNDS = {"hbm": "HBM", "hidden": "what parameters and gradients send", "dcn": "the network between slices"}
# Parameters that lie whole on every device, and padding, are worth a word from here on.
_WHOLE, _PADDING = 64 * 2**20, 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a config needs on a topology; bytes, operations and seconds are of one device and one step.

  Attributes:
    topology, slices, chip, chips, devices: what it is planned for.
    mesh: axis -> size.
    batch, tokens, steps: clips a step, tokens of all senses of a clip, steps of the run.
    parameters: of the network.
    memory: what lies in HBM -> bytes.
    available: bytes of HBM, less what the runtime keeps.
    largest: the greatest arrays that the program makes: (bytes, type, what made it).
    compiled: whether the compiler found a program that fits; its word decides `fits`.
    model_flops: of the model alone, 3 x forward: what the MFU is of.
    hardware_flops: with what is computed again to save memory.
    compiler_flops: the compiler's, of its matrix products, loops counted as often as they run, and
      for kernels, into which nobody sees, the attention of `hardware_flops`.
    hbm: bytes read and written.
    collectives: what is sent.
    seconds: the roofline's.
    price: US dollars a chip and hour; None: not known.
    warnings: sentences.
    compile_seconds: here.
    sampler: the same of the sampler, or None.
  """

  topology: str
  slices: int
  chip: Chip
  chips: int
  devices: int
  mesh: dict[str, int]
  batch: int
  tokens: int
  steps: int
  parameters: int
  memory: dict[str, float]
  available: float
  largest: list[tuple[float, str, str]]
  compiled: bool
  model_flops: float
  hardware_flops: float
  compiler_flops: float
  hbm: float
  collectives: list[Collective]
  seconds: Seconds
  price: float | None
  warnings: list[str]
  compile_seconds: float
  sampler: "Sampler | None" = None

  @property
  def used(self) -> float:
    """Bytes of HBM."""
    return sum(self.memory.values())

  @property
  def fits(self) -> bool:
    """Whether it does."""
    return self.compiled and self.used <= self.available

  @property
  def mfu(self) -> float:
    """Model FLOPs utilisation: of the peak, at the roofline's time."""
    return self.model_flops / self.seconds.step / (self.chip.flops / self.chip.devices)

  @property
  def tokens_per_second(self) -> float:
    """Of the whole machine."""
    return self.batch * self.tokens / self.seconds.step

  @property
  def chip_hours(self) -> float:
    """Of the run."""
    return self.steps * self.seconds.step * self.chips / 3600

  @property
  def dollars(self) -> float | None:
    """Of the run; None where no price is known."""
    return None if self.price is None else self.chip_hours * self.price

  def json(self) -> dict[str, Any]:
    """As plain data."""
    sampler = self.sampler and {
      "fits": self.sampler.used <= self.available,
      "memory_gib": _round(self.sampler.used / GIB),
      "movies": self.sampler.movies,
      "evaluations": self.sampler.evaluations,
      "evaluation_seconds": _round(self.sampler.seconds.step),
      "seconds_a_movie": _round(self.sampler.seconds_a_movie),
    }
    return {
      "topology": self.topology,
      "num_slices": self.slices,
      "chips": self.chips,
      "mesh": self.mesh,
      "batch": self.batch,
      "tokens": self.tokens,
      "parameters": self.parameters,
      "fits": self.fits,
      "memory_gib": _round(self.used / GIB),
      "headroom_gib": _round((self.available - self.used) / GIB),
      "memory": {name: _round(value / GIB) for name, value in self.memory.items()},
      "largest": [[_round(size / GIB), kind, by] for size, kind, by in self.largest],
      "flops": self.hardware_flops,
      "model_flops": self.model_flops,
      "compiler_flops": self.compiler_flops,
      "hbm_gib": _round(self.hbm / GIB),
      "collective_gib": _round(sum(c.bytes for c in self.collectives) / GIB),
      "collectives": [
        {
          "kind": c.kind,
          "axes": list(c.axes),
          "devices": c.size,
          "between_slices": c.slices,
          "count": c.count,
          "gib": _round(c.bytes / GIB),
        }
        for c in self.collectives
        if c.bytes > 2**20
      ],
      "step_seconds": _round(self.seconds.step),
      "seconds": {name: _round(value) for name, value in vars(self.seconds).items()},
      "bound": self.seconds.bound,
      "assumption": "peak rates; parameters and gradients travel beside computation, activations do not",
      "mfu": _round(self.mfu),
      "tokens_per_second": _round(self.tokens_per_second),
      "chip_hours": _round(self.chip_hours),
      "price_per_chip_hour": self.price,
      "dollars": None if self.dollars is None else _round(self.dollars),
      "sampler": sampler,
      "warnings": self.warnings,
      "compile_seconds": _round(self.compile_seconds),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampler:
  """One guided evaluation of the network, its parameters cut as in training.

  Attributes:
    movies: made at once.
    evaluations: of the network a movie.
    used: bytes of HBM a device.
    seconds: of an evaluation, the roofline's.
  """

  movies: int
  evaluations: int
  used: float
  seconds: Seconds

  @property
  def seconds_a_movie(self) -> float:
    """From one movie's end to the next, on the whole machine."""
    return self.evaluations * self.seconds.step / self.movies


def _round(value: float, digits: int = 4) -> float:
  return float(f"{value:.{digits}g}")


def built(config: Mapping[str, Any]) -> Experiment:
  """The experiment, of the greatest clips alone if they have several sizes.

  Raises:
    UserError: it is of an autoencoder, whose work nothing here can count.
  """
  experiment = build(config)
  if experiment.is_autoencoder:
    raise UserError("plans are of models that diffuse, and this config is of an autoencoder.")
  source = getattr(experiment.data.source, "largest", experiment.data.source)
  senses = build_senses([sense.name for sense in experiment.data.senses], source)
  return dataclasses.replace(experiment, data=Data(source=source, senses=senses))


def fitted(config: Mapping[str, Any], devices: int, slices: int) -> tuple[dict[str, Any], list[str]]:
  """`config`, made to suit the devices: data over slices, the batch over the mesh; and what was changed."""
  config, said = {key: value for key, value in config.items()}, []
  mesh, training = dict(config.get("mesh", {})), dict(config.get("training", {}))
  data = mesh.get("data", -1)
  if slices > 1 and data > 0 and data % slices:
    mesh["data"] = data * slices
    said.append(f"mesh.data={data} does not go over {slices} slices: planned with {data * slices}.")
  experiment = built({**config, "mesh": mesh})
  sizes, batch = experiment.training.mesh.sizes(devices), experiment.training.settings.batch
  ways = sizes["data"] * sizes["fsdp"] * experiment.training.settings.accumulate
  if batch % ways:
    training["batch"] = -(-batch // ways) * ways
    said.append(f"training.batch={batch} does not divide by {ways}: planned with {training['batch']}.")
  return {**config, "mesh": mesh, "training": training}, said


def plan(
  config: Mapping[str, Any],
  topology: str,
  slices: int = 1,
  *,
  price: float | None = None,
  sampler: bool = True,
  devices: list | None = None,
) -> Plan:
  """Compiles `config` for `slices` slices of `topology` and says what the compiler found.

  Args:
    config: as of `training.train`.
    topology: such as "v5e:16x16".
    slices: of that topology each.
    price: US dollars a chip and hour; default: the list price.
    sampler: whether to compile that, too.
    devices: those to plan for, where they are known already.

  Raises:
    UserError: an unknown topology, or a config that is wrong or cannot be laid out there.
  """
  chip = chip_of(topology)
  devices = topology_devices(topology, slices) if devices is None else devices
  config, warnings = fitted(config, len(devices), slices)
  experiment = built(config)
  program = training_program(experiment, devices)
  mesh, batch = program.mesh, experiment.training.settings.batch
  forward, hardware, attention = _operations(experiment, program)
  lowered, began = program.step.lower(program.state, program.batch), time.perf_counter()
  memory = {
    "parameters": _held(program.state.params),
    "optimizer": _held(program.state.opt_state),
    "averages": _held((program.state.ema, program.state.tracks)),
  }
  compiled = _compile(lowered)
  took = time.perf_counter() - began
  text, found, largest = Program(""), [], []
  if isinstance(compiled, float):
    memory["temporaries"] = max(0.0, compiled - sum(memory.values()))
  else:
    stats, text = compiled.memory_analysis(), Program(compiled.as_text())
    memory["batch and other"] = max(0.0, stats.argument_size_in_bytes - sum(memory.values()))
    memory["temporaries"] = stats.temp_size_in_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
    memory["program"] = stats.generated_code_size_in_bytes
    found, largest = _sent(text, mesh), _largest(text)
  ways, moved = mesh.size, text.hbm_bytes() if text.entry else 0.0
  kernel = experiment.network.attention == "splash"
  products = text.matmul_flops() if text.entry else 0.0
  made = Plan(
    topology=topology,
    slices=slices,
    chip=chip,
    chips=len(devices) // chip.devices,
    devices=len(devices),
    mesh=dict(mesh.shape),
    batch=batch,
    tokens=sum(math.prod(s.grid(experiment.data.source.frames)) for s in experiment.data.senses),
    steps=experiment.training.settings.steps,
    parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(program.state.params)),
    memory=memory,
    available=chip.memory / chip.devices * (1 - _RESERVED),
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
  made.warnings.extend(_warnings(made, experiment, program))
  if sampler and made.compiled:
    made = dataclasses.replace(made, sampler=_sampler(experiment, program, chip, forward))
  return made


def list_price(chip: Chip) -> float | None:
  """US dollars a chip and hour, if it is known."""
  return PRICES.get(chip.kind)


def _compile(lowered):
  """The compiled program; if it needs more memory than there is, how many bytes it would."""
  try:
    return lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    used = re.search(r"Used ([\d.]+)([KMGT]) of", str(error))
    if not used:
      raise UserError(f"the compiler cannot compile it: {str(error).splitlines()[0]}") from error
    return float(used[1]) * 2 ** {"K": 10, "M": 20, "G": 30, "T": 40}[used[2]]


def _sent(program: Program, mesh) -> list[Collective]:
  """By a program that was compiled for `mesh`."""
  slice_of = [getattr(device, "slice_index", 0) for device in mesh.devices.flat]
  return collectives(program, dict(mesh.shape), slice_of)


def _held(tree) -> float:
  """Bytes of a device."""
  leaves = jax.tree.leaves(tree)
  return float(sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves))


def plain(experiment: Experiment):
  """Its network, with attention as matrix products that can be counted."""
  return experiment.network.clone(attention="xla")


def _operations(experiment: Experiment, program) -> tuple[float, float, float]:
  """Of a clip's forward pass, of a step's loss and gradient, and of attention in the latter."""
  one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), program.batch)
  params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), program.state.params)
  t = jax.ShapeDtypeStruct((1, experiment.data.source.frames), jnp.float32)
  network, key = plain(experiment), jax.eval_shape(lambda: jax.random.key(0))
  forward = count(network.apply, params, jax.eval_shape(floats, one.clip), t, one.context)
  loss = loss_of(dataclasses.replace(experiment, network=network))
  hardware = count(jax.grad(loss, has_aux=True), params, one, key) * experiment.training.settings.batch
  # By hand, as no kernel says it: two products of all pairs forward, twice that back.
  tokens = sum(math.prod(s.grid(experiment.data.source.frames)) for s in experiment.data.senses)
  tokens += experiment.network.text_length // PATCH
  m = experiment.network
  attention = 4.0 * tokens**2 * m.width * m.depth
  again = {"none": 3, "dots": 4, "full": 4}[m.remat]
  return forward, hardware, again * attention * experiment.training.settings.batch


def _largest(program: Program, count: int = 5) -> list[tuple[float, str, str]]:
  """The greatest arrays in HBM, each type once."""
  found: dict[str, tuple[float, str, str]] = {}
  for _, one, _ in program.walk():
    if one.opcode in ("parameter", "get-tuple-element", "tuple", "while", "bitcast", "constant"):
      continue
    for array in one.arrays:
      if array.far and array.bytes > 2**20:
        kind = array.dtype + str(list(array.shape))
        by = re.search(r'op_name="([^"]*)"', one.rest)
        found.setdefault(kind, (array.bytes, kind, by[1] if by else one.opcode))
  return sorted(found.values(), reverse=True)[:count]


def _warnings(made: Plan, experiment: Experiment, program) -> list[str]:
  """What a reader of the plan should know."""
  said, mesh, model = [], program.mesh, experiment.network
  whole = {}
  for path, x in jax.tree_util.tree_leaves_with_path(program.state.params):
    whole[path_name(path)] = math.prod(x.shape) * x.dtype.itemsize
  names = list(uncut(mesh, program.state.params))
  size = sum(whole[name] for name in names)
  if size > _WHOLE:
    worst = max(names, key=whole.get)
    said.append(f"{size / GIB:.2f} GiB of parameters lie whole on every device, the greatest {worst}.")
  width = model.width // model.heads
  if width % 128:
    more = -width % 128 / width
    said.append(f"heads are {width} wide and padded to {width + -width % 128}: {more:.0%} more attention.")
  ways = parts(mesh, "tokens")
  for sense in experiment.data.senses:
    place = math.prod(sense.grid(experiment.data.source.frames)[1:])
    if (missing := -place % ways) / place > _PADDING:
      said.append(f"{sense.name} has {place} tokens a time, padded by {missing} to divide by {ways}.")
  if made.seconds.exposed > 0.2 * made.seconds.step:
    share = made.seconds.exposed / made.seconds.step
    said.append(f"{share:.0%} of the step waits for collectives in the middle of layers.")
  if made.compiled and made.seconds.bound != "flops":
    said.append(f"a step is bound by {_BOUNDS[made.seconds.bound]}, not by operations.")
  if made.compiler_flops and not 0.95 < made.hardware_flops / made.compiler_flops < 1.05:
    ratio = made.compiler_flops / made.hardware_flops
    said.append(f"the compiler's program does {ratio:.2f} times the operations that were counted.")
  if not made.compiled:
    said.append("the compiler found no program that fits: only its memory is known.")
  if made.price is None:
    said.append(f"no price is known for {made.chip.name}: give --price_per_hour.")
  return said


def _sampler(experiment: Experiment, program, chip: Chip, forward: float) -> Sampler | None:
  """One guided evaluation of the network on the mesh of training."""
  mesh, settings = program.mesh, experiment.diffusion.sampling
  ways = parts(mesh, "batch")
  movies = -(-settings.batch // ways) * ways
  guided = settings.guidance != 1
  whole = batch_sharding(mesh)

  def many(x):
    return jax.ShapeDtypeStruct((movies, *x.shape[1:]), x.dtype, sharding=whole)

  clip, context = jax.tree.map(many, (jax.eval_shape(floats, program.batch.clip), program.batch.context))
  t = jax.ShapeDtypeStruct((movies, experiment.data.source.frames), jnp.float32, sharding=whole)

  def evaluate(params, clip, t, context):
    def denoiser(clip, t, context):
      return experiment.network.apply(params, clip, t, context)

    chosen = classifier_free(denoiser, settings.guidance, settings.interval) if guided else denoiser
    return chosen(clip, t, context)

  lowered = jax.jit(on_mesh(mesh, evaluate)).lower(program.state.params, clip, t, context)
  compiled = _compile(lowered)
  evaluations = settings.steps * (2 if settings.solver == "heun" else 1)
  flops = forward * movies * (1 + guided) / mesh.size
  if isinstance(compiled, float):
    seconds = roofline(chip, flops, 0.0, [])
    return Sampler(movies=movies, evaluations=evaluations, used=compiled, seconds=seconds)
  stats, text = compiled.memory_analysis(), Program(compiled.as_text())
  used = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
  seconds = roofline(chip, flops, text.hbm_bytes(), _sent(text, mesh))
  used += stats.generated_code_size_in_bytes - stats.alias_size_in_bytes
  return Sampler(movies=movies, evaluations=evaluations, used=used, seconds=seconds)
