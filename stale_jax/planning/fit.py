"""Searches for the batch, remat and mesh of the fastest plan that fits: ranks candidates, then compiles."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from stale_jax.errors import UserError
from stale_jax.mesh import MeshShape
from stale_jax.planning.chips import chip_of
from stale_jax.planning.collectives import Collective
from stale_jax.planning.estimate import KEPT, Estimate, Sizes, estimate, sizes
from stale_jax.planning.plan import built, plan
from stale_jax.planning.report import GIB, Plan
from stale_jax.planning.roofline import roofline
from stale_jax.planning.topology import topology_devices
from stale_jax.training.initial import initializer
from stale_jax.training.operations import forward_flops

# At most this many candidates are compiled, a minute or more each; the first that fits is chosen.
_COMPILES = 4
# Batches to try: multiples of the smallest batch of the mesh, up to _GROWTH times the batch of the config.
_TIMES, _GROWTH = (1, 2, 4, 8), 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
  """One choice of mesh, batch and remat."""

  mesh: MeshShape
  batch: int
  remat: str

  def of(self, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `config` with this mesh, batch and remat."""
    return {
      **config,
      "mesh": dataclasses.asdict(self.mesh),
      "model": {**config["model"], "remat": self.remat},
      "training": {**config.get("training", {}), "batch": self.batch},
    }


def candidates(heads: int, devices: int, slices: int, batch: int) -> list[Candidate]:
  """All candidates whose `ulysses` divides the heads; the other devices of a slice are along fsdp.

  Args:
    heads: attention heads of the model.
    devices: number of devices in all slices.
    slices: number of slices, which is the size of the axis data.
    batch: batch of the config; see _GROWTH.
  """
  found = []
  for ulysses in range(1, heads + 1):
    fsdp, rest = divmod(devices // slices, ulysses)
    if rest or heads % ulysses:
      continue
    mesh = MeshShape(data=slices, fsdp=fsdp, context=ulysses, ulysses=ulysses)
    for times in _TIMES:
      if times * fsdp * slices <= _GROWTH * batch:
        found += [Candidate(mesh=mesh, batch=times * fsdp * slices, remat=remat) for remat in KEPT]
  return found


def describe(config: Mapping[str, Any]) -> tuple[Any, Sizes]:
  """The experiment, and its sizes for `estimate`."""
  experiment = built(config)
  params = jax.eval_shape(initializer(experiment), jax.random.key(0))
  forward = forward_flops(experiment)
  # Float32: parameters, two moments, the EMA, and the EMAs of the snapshots.
  held = 4.0 * (4 + len(experiment.training.ema.kept))
  return experiment, sizes(experiment, params, held, forward)


def rank(
  of: Sizes, chip, many: list[Candidate], slices: int, memory: float
) -> list[tuple[Candidate, Estimate]]:
  """Ranks the candidates that fit by estimate: by decreasing clips per second, then by increasing batch.

  Args:
    of: sizes of the experiment.
    chip: chip of the devices.
    many: the candidates.
    slices: number of slices.
    memory: bytes per device.
  """
  each = [(c, estimate(of, chip, c.mesh, c.batch, c.remat, slices)) for c in many]
  fits = [(c, e) for c, e in each if e.memory <= memory]
  return sorted(fits, key=lambda pair: (-round(pair[0].batch / pair[1].seconds.step, 3), pair[0].batch))


def fit(
  config: Mapping[str, Any],
  topology: str,
  slices: int = 1,
  *,
  say: Callable[[str], None] = lambda _: None,
  price: float | None = None,
  sampler: bool = True,
  compiles: int = _COMPILES,
) -> tuple[Plan, dict[str, Any]]:
  """Searches for the fastest plan that fits into memory.

  Candidates are compiled in the order of their estimated speed, in clips per second by the roofline. When a
  program needs more memory than estimated, all estimates are scaled by the same factor.

  Args:
    config: plain data, as for `stale_jax.train`.
    topology: topology of a slice, for example "v5e:16x16".
    slices: number of slices.
    say: prints a line for the user.
    price: US dollars per chip and hour; default: the list price.
    sampler: whether the returned plan includes the sampler.
    compiles: maximum number of candidates to compile.

  Returns:
    The plan, and the overrides of the config that it needs: dotted key -> value.

  Raises:
    UserError: nothing fits, or as `plan`.
  """
  chip, devices = chip_of(topology), topology_devices(topology, slices)
  experiment, of = describe(config)
  batch = experiment.training.settings.batch
  many = candidates(experiment.network.heads, len(devices), slices, batch)
  if not many:
    raise UserError(
      f"training.batch={batch} is too small for the {len(devices)} devices of {topology} with "
      f"{experiment.network.heads} attention heads: increase training.batch, or choose a smaller topology."
    )
  available, factor = chip.available, 1.0
  say(f"{len(many)} candidates; {len(rank(of, chip, many, slices, available))} fit by estimate.")
  tried: set[Candidate] = set()
  while len(tried) < compiles:
    left = [c for c in many if c not in tried]
    ranked = rank(of, chip, left, slices, available / factor)
    if not ranked:
      break
    candidate, guess = ranked[0]
    tried.add(candidate)
    made = plan(candidate.of(config), topology, slices, price=price, sampler=False, devices=devices)
    say(
      f"batch {candidate.batch}, remat {candidate.remat}, ulysses {candidate.mesh.ulysses}: "
      f"{guess.memory / GIB:.1f} GiB by estimate, {made.used / GIB:.1f} compiled, "
      f"{'fits' if made.fits else 'does not fit'}."
    )
    if made.fits:
      if sampler:
        made = plan(candidate.of(config), topology, slices, price=price, devices=devices)
      return made, _flags(candidate)
    factor = max(factor, made.used / guess.memory)
  raise UserError(f"no plan fits {topology} ({len(tried)} were compiled): try more chips.")


def _flags(candidate: Candidate) -> dict[str, Any]:
  mesh = {f"mesh.{name}": value for name, value in dataclasses.asdict(candidate.mesh).items()}
  return {"training.batch": candidate.batch, "model.remat": candidate.remat, **mesh}


def curve(made: Plan) -> list[tuple[int, float, float]]:
  """(chips, MFU, seconds per step) for 1 to 16 slices of the topology of `made`, with its batch per slice.

  Computed without compiling: adds to the roofline the all-reduce of gradients between slices, in bfloat16.
  """
  alone = made.chips // made.slices
  cut = made.devices / made.slices / (made.mesh["data"] / made.slices)
  found = []
  for slices in (1, 2, 4, 8, 16):
    sent = [c for c in made.collectives if not c.slices]
    if slices > 1:
      size = 2 * made.parameters / cut * 2 * (slices - 1) / slices
      sent.append(Collective("all-reduce", ("data",), slices, True, 1, size))
    step = roofline(made.chip, made.hardware_flops, made.hbm, sent).step
    mfu = made.model_flops / step / (made.chip.flops / made.chip.devices)
    found.append((alone * slices, mfu, step))
  return found
