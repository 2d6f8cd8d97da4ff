"""The fastest plan that fits: batch, remat and mesh, searched by estimate and settled by the compiler."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.mesh import MeshShape
from stale_jax.planning.chips import chip_of
from stale_jax.planning.collectives import Collective
from stale_jax.planning.estimate import KEPT, Estimate, Sizes, estimate, sizes
from stale_jax.planning.flops import count
from stale_jax.planning.plan import built, plain, plan
from stale_jax.planning.report import GIB, Plan
from stale_jax.planning.roofline import roofline
from stale_jax.planning.topology import topology_devices
from stale_jax.training.initial import initializer

# Of these the first that fits is taken; each takes a minute or more to compile.
_COMPILES = 4
# Batches, in the least that the mesh can take; more than so many times the config's is another training.
_TIMES, _GROWTH = (1, 2, 4, 8), 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
  """One way to run a config."""

  mesh: MeshShape
  batch: int
  remat: str

  def of(self, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config`, run so."""
    return {
      **config,
      "mesh": dataclasses.asdict(self.mesh),
      "model": {**config["model"], "remat": self.remat},
      "training": {**config.get("training", {}), "batch": self.batch},
    }


def candidates(heads: int, devices: int, slices: int, batch: int) -> list[Candidate]:
  """All that are tried: tokens cut by `ulysses`, which divides the heads, all else of a slice fsdp."""
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
  """The experiment, and its numbers for `estimate`."""
  experiment = built(config)
  model, frames = experiment.network, experiment.data.source.frames
  params = jax.eval_shape(initializer(experiment), jax.random.key(0))
  clip = {s.name: jax.ShapeDtypeStruct((1, frames, *s.shape), jnp.float32) for s in experiment.data.senses}
  t = jax.ShapeDtypeStruct((1, frames), jnp.float32)
  context = Context(text=jax.ShapeDtypeStruct((1, model.text_length), jnp.int32))
  forward = count(plain(experiment).apply, params, clip, t, context)
  # Parameters, two moments, their average, and the averages that snapshots are taken of; float32.
  held = 4.0 * (4 + len(experiment.training.ema.kept))
  return experiment, sizes(experiment, params, held, forward)


def rank(
  of: Sizes, chip, many: list[Candidate], slices: int, memory: float
) -> list[tuple[Candidate, Estimate]]:
  """Those whose estimate fits into `memory`, the most tokens a second first; of equals the least batch."""
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
  """The fastest plan that fits, and its flags for `experiments.train`.

  Estimates leave out what cannot be best; where the compiler needs more than was estimated, all
  estimates grow by as much. Fastest is most tokens a second by the roofline.

  Raises:
    UserError: nothing fits, or as `plan`.
  """
  chip, devices = chip_of(topology), topology_devices(topology, slices)
  experiment, of = describe(config)
  if experiment.network.attention != "splash":
    say("attention of this config is not splash: its estimates are of attention that holds no probabilities.")
  many = candidates(experiment.network.heads, len(devices), slices, experiment.training.settings.batch)
  if not many:
    raise UserError(f"no mesh of {len(devices)} devices takes {experiment.network.heads} heads.")
  available, factor = chip.memory / chip.devices, 1.0
  say(f"{len(many)} ways to run it; {len(rank(of, chip, many, slices, available))} may fit.")
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
  raise UserError(
    f"nothing that was tried fits {topology}: {len(tried)} plans were compiled; try more chips."
  )


def _flags(candidate: Candidate) -> dict[str, Any]:
  mesh = {f"mesh.{name}": value for name, value in dataclasses.asdict(candidate.mesh).items()}
  return {"training.batch": candidate.batch, "model.remat": candidate.remat, **mesh}


def curve(made: Plan) -> list[tuple[int, float, float]]:
  """(chips, MFU, step seconds) where slices of the same topology are added, each with as many clips.

  Analytic: only the sum of gradients over slices is added to the plan, in bfloat16 over the network
  between them; everything else stays as it is.
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
