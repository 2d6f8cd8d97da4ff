"""Makes clips of low energy, without training, by changing the noise (`sampling.editing.langevin`)."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from stale_jax.checks import check_generates, check_prompts, keys_of
from stale_jax.clip import Clip, Context, Sense
from stale_jax.compilation import batches, compiled
from stale_jax.construct import construct
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.mesh import on_host
from stale_jax.movie import Movie, movies_of
from stale_jax.pipeline import Model
from stale_jax.processes import Process
from stale_jax.sampling import Reverse, prior
from stale_jax.sampling.editing import Energy, Langevin, langevin_step
from stale_jax.sampling.guiding import Guidance, Guiding, guidance_of, guided, guiding_of
from stale_jax.text import tokenize

_LANGEVIN = Langevin()


class Guided(NamedTuple):
  """Clips of low energy.

  Attributes:
    clip: sense -> [clips, frames, *shape], in [-1, 1].
    energies: of the clips before each step of the dynamics and after the last, [iterations + 1, clips].
    norms: mean square of w of each clip, [clips]; of draws of the prior it is about 1.
  """

  clip: Clip
  energies: Float[np.ndarray, "steps clips"]
  norms: Float[np.ndarray, "clips"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Programs:
  """The programs for a batch of clips, compiled once per energy and shape."""

  network: Any
  process: Process
  senses: tuple[Sense, ...]
  guiding: Guiding | None
  energy: Energy

  def begin(
    self, params: Any, context: Context, keys: Key[Array, "batch"], times: Float[Array, "grid batch frames"]
  ) -> tuple[Clip, Context]:
    """Returns (the noise of `Model.sample`, as draws of N(0, 1); `context` with its captions encoded)."""
    drawn = prior(self.process, self.senses, times.shape[-1], keys)
    w = {name: self.process.to_normal(x) for name, x in drawn.items()}
    return w, self.network.encode_captions(params, context)

  def step(
    self,
    params: Any,
    w: Clip,
    context: Context,
    keys: Key[Array, "batch"],
    times: Float[Array, "grid batch frames"],
    guidance: Guidance,
    weight: Float[Array, ""],
    size: Float[Array, ""],
    iteration: Int[Array, ""],
  ) -> tuple[Clip, Clip, Float[Array, "batch"]]:
    """See `langevin_step`."""

    def denoiser_of(network):
      return functools.partial(network.apply, params)

    denoiser = guided(self.guiding, self.network, denoiser_of, guidance.scale, guidance.interval)
    reverse = Reverse(process=self.process, denoiser=denoiser, times=times, context=context, keys=keys)
    return langevin_step(reverse, w, self.energy, weight, size, iteration)


def guide_by_energy(
  model: Model,
  prompts: Sequence[str],
  seeds: Sequence[int],
  energy: Energy,
  settings: Langevin = _LANGEVIN,
  **overrides,
) -> Guided:
  """Makes one clip per prompt, of low energy. Each depends only on its own prompt and seed.

  Args:
    model: a model of pixels with a probability-flow ODE that denoises all frames together.
    prompts: what the clips show; "" for clips of any kind.
    seeds: seeds of the noise. The dynamics start from the clips that `Model.sample` makes of these seeds with
      solver="euler" and how="all_frames".
    energy: a JAX function from clips, sense -> [batch, frames, *shape] in [-1, 1], to energies, [batch].
    settings: settings of the dynamics.
    **overrides: settings of `Sampling`: steps, guidance, interval, shift. The solver is not used.

  Raises:
    UserError: a prompt or setting is invalid, `model` is not of that kind, or the energy does not return one
      finite number per clip.
  """
  check_guides(model)
  check_prompts(model.system, prompts, model.name)
  if len(prompts) != len(seeds):
    raise UserError(
      f"as many seeds as prompts are needed; got {len(prompts)} prompts and {len(seeds)} seeds."
    )
  chosen, data, network = model.settings(**overrides), model.system.data, model.system.network
  width, count = chosen.width(len(prompts)), len(prompts)
  _check_energy(energy, data.senses, model.frames, width)
  process = model.system.diffusion.process
  programs = _Programs(
    # Unrolled blocks would take minutes to compile, with the gradient through the loop of the solver.
    network=network.clone(scan=True),
    process=process,
    senses=tuple(data.senses),
    guiding=guiding_of(chosen, process, network),
    energy=energy,
  )
  times = dataclasses.replace(chosen, batch=width).times(model.frames, data.senses)
  keys, guidance = keys_of(seeds), guidance_of(chosen, model.frames)
  text = jnp.asarray(tokenize(prompts, network.text_length))
  begin, step = compiled(_Programs.begin), compiled(_Programs.step)
  parts = []
  for rows in batches(count, width):
    w, context = begin(programs, model.params, Context(text=text[rows]), keys[rows], times)
    arguments, energies = (context, keys[rows], times, guidance, jnp.float32(settings.weight)), []
    for iteration in range(settings.iterations + 1):
      # The last evaluation is of the result.
      size = jnp.float32(settings.size if iteration < settings.iterations else 0)
      w, clip, energy_before = step(programs, model.params, w, *arguments, size, jnp.int32(iteration))
      energies.append(energy_before)
    squares = [jnp.square(x).reshape(len(x), -1) for x in w.values()]
    parts.append(on_host((clip, jnp.stack(energies), jnp.concatenate(squares, 1).mean(1))))
  clips, energies, norms = zip(*parts, strict=True)
  energies = np.concatenate(energies, 1)[:, :count]
  if not np.isfinite(energies).all():
    raise UserError("an energy is NaN or infinite: correct the function, or make the weight smaller.")
  clip = {name: np.concatenate([part[name] for part in clips])[:count] for name in clips[0]}
  return Guided(clip=clip, energies=energies, norms=np.concatenate(norms)[:count])


def guide_movies(
  model: Model,
  prompts: Sequence[str],
  seed: int,
  energy: Energy,
  dynamics: Mapping[str, float | None],
  **settings,
) -> tuple[list[Movie], list[Movie], Guided]:
  """Makes one movie per prompt; see `guide_by_energy`.

  Args:
    model, prompts, energy: see there.
    seed: the seed of every movie.
    dynamics: fields of `Langevin`; None for the default.
    **settings: settings of `Sampling`; None for the model's.

  Returns:
    (the movies, the movies from which the dynamics began, the energies).
  """
  stated = {name: value for name, value in dynamics.items() if value is not None}
  langevin, seeds = construct(Langevin, stated, "langevin"), [seed] * len(prompts)
  guided = guide_by_energy(model, prompts, seeds, energy, langevin, **settings)
  before = model.sample(prompts, seeds, solver="euler", how="all_frames", **settings)
  senses = build_senses(list(guided.clip), model.source)
  usual = vars(model.settings(**settings))
  how = {"model": model.name, **{name: usual[name] for name in ("steps", "guidance", "interval", "shift")}}

  def movies(clip, titles, facts, energies):
    each = [{"energy": f"{value:.3g}"} for value in energies]
    return movies_of(clip, senses, titles, seeds, {**how, **facts}, each)

  after = movies(guided.clip, prompts, vars(langevin), guided.energies[-1])
  titles = [f"before {prompt}".strip() for prompt in prompts]
  return after, movies(before, titles, {"solver": "euler"}, guided.energies[0]), guided


def check_guides(model: Model) -> None:
  """Raises UserError if clips of `model` cannot be guided by an energy."""
  check_generates(model.system, model.name)
  diffusion, source = model.system.diffusion, model.system.data.source
  kind = None
  if diffusion.artv:
    kind = "makes one frame at a time"
  elif not diffusion.process.has_flow:
    kind = "denoises tokens"
  elif source.pixels is not source:
    kind = "generates latents"
  if kind:
    raise UserError(f"{model.name} {kind}, so that an energy cannot guide it; use another model.")


def _check_energy(energy: Energy, senses: Sequence[Sense], frames: int, batch: int) -> None:
  clip = {sense.name: jax.ShapeDtypeStruct((batch, frames, *sense.shape), jnp.float32) for sense in senses}
  try:
    found = jax.eval_shape(energy, clip)
  except KeyError as error:
    raise UserError(f"the energy needs {error}; the clips have {', '.join(clip)}.") from error
  except jax.errors.JAXTypeError as error:
    raise UserError("the energy is no JAX function: use jax.numpy instead of numpy.") from error
  if jax.tree.structure(found) != jax.tree.structure(0) or found.shape != (batch,):
    raise UserError(f"the energy returns {found} for {batch} clips, not one number per clip, ({batch},).")
