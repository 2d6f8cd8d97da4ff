"""In-painting and out-painting in space, time and senses (`sampling.inpainting`)."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from stale_jax.checkpoints.circuit_file import check_circuit
from stale_jax.checks import check_generates, check_prompts
from stale_jax.clip import Clip
from stale_jax.construct import construct
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.media import contact_sheet, png
from stale_jax.movie import Movie, movies_of
from stale_jax.pipeline import Model
from stale_jax.sampling import Known
from stale_jax.sampling.inpainting import Circuit, Steering

_ENLARGED = 4  # Each pixel of a small clip in the picture of `rows`.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steer:
  """Settings of steering by a circuit; see `sampling.inpainting.steering`.

  Attributes:
    weight: weight of the circuit, from 0 to 1, before its decay with time.
    share: share of the solver's steps that are steered, from the first.
  """

  weight: float = number(1.0, least=0, most=1)
  share: float = number(0.2, above=0, most=1)

  def __post_init__(self):
    check_fields(self, "steer")


def inpaint(
  model: Model,
  clip: Clip,
  unknown: Mapping[str, np.ndarray],
  prompts: Sequence[str],
  seeds: Sequence[int],
  *,
  circuit: Circuit | None = None,
  steer: Steer = Steer(),  # noqa: B008
  **overrides,
) -> Clip:
  """Makes the unknown values of clips, and returns the clips with all other values unchanged.

  All frames are denoised together, because a rollout would not see what is known of later frames. Each clip
  depends only on its own known values, prompt and seed.

  Args:
    model: a model that generates pixels, and not one frame at a time.
    clip: sense -> [clips, frames, *shape], in [-1, 1]. Senses that it lacks are unknown.
    unknown: sense -> where its values are unknown, [clips, frames, *shape] or [frames, *shape].
    prompts: what the clips show; "" for anything that suits the known values.
    seeds: seeds of the noise.
    circuit: steers the first steps; None for no steering.
    steer: settings of the steering.
    **overrides: settings of `Sampling`.

  Raises:
    UserError: a prompt or setting is invalid, or the model cannot fill in the clips.
  """
  check_inpaints(model, circuit)
  check_prompts(model.system, prompts, model.name)
  count, frames = next(iter(clip.values())).shape[:2]
  if not len(prompts) == len(seeds) == count:
    raise UserError(
      f"{count} clips need as many prompts and seeds; got {len(prompts)} prompts and {len(seeds)} seeds."
    )
  values, mask = {}, {}
  for sense in model.system.data.senses:
    shape, name = (count, frames, *sense.shape), sense.name
    if name in clip and clip[name].shape != shape:
      raise UserError(f"{name} has shape {clip[name].shape}; {model.name} needs {shape}.")
    values[name] = np.asarray(clip.get(name, np.zeros(shape)), np.float32)
    mask[name] = ~np.broadcast_to(unknown.get(name, name not in clip), shape)
  every = np.stack([x.reshape(count, frames, -1).all(-1) for x in mask.values()]).all(0)
  clean = every if model.system.diffusion.continues else np.zeros_like(every)
  steering = None
  if circuit is not None:
    settings = model.settings(**overrides)
    times = settings.times(frames, model.system.data.senses)[:, 0, 0]
    until = times[max(1, round(steer.share * settings.steps)) - 1]
    steering = Steering(circuit=circuit, weight=jnp.float32(steer.weight), until=jnp.float32(until))
  known = Known(values=values, mask=mask, clean=clean, steering=steering)
  return model.sample(prompts, seeds, frames=frames, known=known, how="all_frames", **overrides)


def inpaint_movies(
  model: Model,
  clip: Clip,
  unknown: Mapping[str, np.ndarray],
  prompts: Sequence[str],
  seed: int,
  *,
  circuit: Circuit | None = None,
  steer: Mapping[str, float | None] | None = None,
  **settings,
) -> list[Movie]:
  """Fills in one clip, sense -> [frames, *shape], once per prompt; see `inpaint` for arguments and errors."""
  stated = {name: value for name, value in (steer or {}).items() if value is not None}
  if stated and circuit is None:
    raise UserError(f"{next(iter(stated))} of steering needs a circuit: give --circuit=FILE.")
  steer = construct(Steer, stated, "steer")
  seeds = [seed] * len(prompts)
  clips = {name: np.repeat(x[None], len(prompts), 0) for name, x in clip.items()}
  filled = inpaint(model, clips, unknown, prompts, seeds, circuit=circuit, steer=steer, **settings)
  facts = {"steer": f"{steer.weight:g} in {steer.share:g} of the steps"} if circuit is not None else {}
  how = {"model": model.name, **model.chosen, **vars(model.settings(**settings)), **facts}
  senses = build_senses(list(filled), model.source)
  return movies_of(filled, senses, prompts, seeds, how, [{}] * len(prompts))


def rows(clip: Clip, unknown: Mapping[str, np.ndarray], movies: Sequence[Movie]) -> bytes:
  """A PNG with a row of frames for a clip, for its known part (the rest is grey), and for each movie."""
  sight = clip["sight"]
  known = np.where(unknown.get("sight", np.zeros_like(sight, bool)), 0.0, sight)
  every = np.stack([sight, known, *(movie.clip["sight"] for movie in movies)])
  sheet = contact_sheet(every.astype(np.float32))
  return png(sheet.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1) if max(sheet.shape) < 500 else sheet)


def check_inpaints(model: Model, circuit: Circuit | None = None) -> None:
  """Raises UserError if `model` cannot fill in clips, or `circuit` cannot steer it."""
  check_generates(model.system, model.name)
  diffusion, data = model.system.diffusion, model.system.data
  if diffusion.artv or data.source.pixels is not data.source:
    kind = "makes one frame at a time" if diffusion.artv else "generates latents"
    raise UserError(f"{model.name} {kind}, so that single pixels cannot be given; use another model.")
  if circuit is not None:
    if not diffusion.process.mixes_noise:
      name = type(diffusion.process).__name__
      raise UserError(f"a circuit cannot steer {name}, which does not add noise: leave out the circuit.")
    check_circuit(circuit, data.senses, data.source.frames)
