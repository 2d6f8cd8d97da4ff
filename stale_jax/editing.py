"""Edits clips with prompts, without training (CycleDiffusion; `sampling.editing`)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from stale_jax.checks import check_generates, check_prompts, keys_of
from stale_jax.clip import Clip, Context, Sense, floats
from stale_jax.compilation import batches, compiled
from stale_jax.construct import construct
from stale_jax.data import build_senses
from stale_jax.data.decode.video import read_frames
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.files import AnyPath, at
from stale_jax.media import read_arrays
from stale_jax.mesh import on_host
from stale_jax.movie import Movie, movies_of
from stale_jax.pipeline import Model
from stale_jax.processes import Process, named_keys
from stale_jax.sampling import Reverse, prior
from stale_jax.sampling.contextual import contextual_edit
from stale_jax.sampling.editing import translate
from stale_jax.sampling.guiding import Guidance, Guiding, guidance_of, guided, guiding_of
from stale_jax.sampling.solvers import Denoiser
from stale_jax.text import tokenize


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
  """Settings of an edit.

  Attributes:
    strength: share of the solver's steps that are run, from the end. At 1 the clip is noised completely; a
      smaller strength changes less.
    eta: share of fresh noise in a step of the encoder; see `sampling.editing.encode`.
  """

  strength: float = number(1.0, above=0, most=1)
  eta: float = number(0.5, above=0, most=1)

  def __post_init__(self):
    check_fields(self, "edit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _EditProgram:
  """The program that edits a batch of clips, compiled once per shape.

  Attributes:
    network, process: parts of the model.
    made: senses that the clips lack, which are made along.
    guiding: see `Guiding`; None without guidance.
  """

  network: Any
  process: Process
  made: tuple[Sense, ...]
  guiding: Guiding | None

  def run(
    self,
    params: Any,
    clip: Clip,
    source: Context,
    target: Context,
    keys: Key[Array, "batch"],
    times: Float[Array, "grid batch frames"],
    guidance: Guidance,
    eta: Float[Array, ""],
  ) -> Clip:
    """Edits `clip`, described by `source`, to what `target` describes. Only the target is guided.

    With a bias of context, the clip is noised with that of the target, and `source` and `eta` are not used.
    """
    source, target = (self.network.encode_captions(params, context) for context in (source, target))

    def denoiser_of(network) -> Denoiser:
      return functools.partial(network.apply, params)

    plain = denoiser_of(self.network)
    denoiser = guided(self.guiding, self.network, denoiser_of, guidance.scale, guidance.interval)
    known = Reverse(process=self.process, denoiser=plain, times=times, context=source, keys=keys)
    changed = dataclasses.replace(known, denoiser=denoiser, context=target)
    if self.network.relation_width:
      return contextual_edit(changed, functools.partial(self.network.relate, params), clip)
    others = prior(self.process, self.made, times.shape[-1], named_keys(keys, "made"))
    return translate(known, changed, clip, eta, others)


def edit(
  model: Model,
  clip: Clip,
  source_prompts: Sequence[str],
  prompts: Sequence[str],
  seeds: Sequence[int],
  *,
  strength: float | None = None,
  eta: float | None = None,
  **overrides,
) -> Clip:
  """Edits one clip per prompt; returns clips of the same shapes, in [-1, 1].

  At strength 1, senses of the model that the clips lack are made along: a silent video gets its sound.

  Each clip depends only on its own source, prompts and seed. With equal prompts and guidance=1, it is
  returned as it is.

  Args:
    model: a model with a probability-flow ODE that denoises all frames together.
    clip: sense -> [clips, frames, *shape], in [-1, 1]; senses that the model knows, all or some.
    source_prompts: what the clips show; "" for unknown.
    prompts: what the results should show.
    seeds: seeds of the noise with which the clips are encoded.
    strength, eta: see `Edit`; None for the default.
    **overrides: settings of `Sampling`: steps, guidance, interval, shift. The solver is not used.

  Raises:
    UserError: a prompt or setting is invalid, or the model cannot edit.
  """
  check_edits(model)
  for texts in (source_prompts, prompts):
    check_prompts(model.system, texts, model.name)
  given = {name: x for name, x in (("strength", strength), ("eta", eta)) if x is not None}
  asked, settings = construct(Edit, given, "edit"), model.settings(**overrides)
  data, network = model.system.data.source, model.system.network
  clip = data.encode(clip)
  count, frames = next(iter(clip.values())).shape[:2]
  if not len(source_prompts) == len(prompts) == len(seeds) == count:
    words = f"{len(source_prompts)} source prompts, {len(prompts)} prompts and {len(seeds)} seeds"
    raise UserError(f"an edit of {count} clips needs as many of each; got {words}.")
  width = settings.width(count)
  times = dataclasses.replace(settings, batch=width).times(frames, model.system.data.senses)
  times = times[settings.steps - max(1, round(asked.strength * settings.steps)) :]
  process = model.system.diffusion.process
  lacking = [sense.name for sense in model.system.data.senses if sense.name not in clip]
  if network.relation_width and lacking:
    raise UserError(f"{model.name} edits clips that have all its senses; {', '.join(lacking)} is missing.")
  # A sense that is made along starts from the prior, at time 1.
  made = [sense for sense in model.system.data.senses if sense.name not in clip and asked.strength == 1]
  guiding = guiding_of(settings, process, network)
  program = _EditProgram(network=network, process=process, made=tuple(made), guiding=guiding)
  keys, guidance = keys_of(seeds), guidance_of(settings, frames)
  texts = [jnp.asarray(tokenize(some, network.text_length)) for some in (source_prompts, prompts)]
  parts = []
  for rows in batches(count, width):
    source, target = (Context(text=text[rows]) for text in texts)
    some = {name: jnp.asarray(x[rows], jnp.float32) for name, x in clip.items()}
    arguments = (source, target, keys[rows], times, guidance, jnp.float32(asked.eta))
    parts.append(on_host(compiled(_EditProgram.run)(program, model.params, some, *arguments)))
  return data.decode({name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]})


def edit_movie(model: Model, clip: Clip, source_prompt: str, prompt: str, seed: int, **settings) -> Movie:
  """Edits one clip, sense -> [frames, *shape]; see `edit` for the arguments and the errors."""
  whole = {name: x[None] for name, x in clip.items()}
  edited = edit(model, whole, [source_prompt], [prompt], [seed], **settings)
  senses = build_senses(list(edited), model.source)
  stated = {name: value for name, value in settings.items() if value is not None}
  usual = vars(model.settings())
  used = {
    **vars(Edit()),
    **{name: usual[name] for name in ("steps", "guidance", "interval", "shift")},
    **stated,
  }
  how = {"model": model.name, "source_prompt": source_prompt, **used}
  (movie,) = movies_of(edited, senses, [prompt], [seed], how, [{}])
  return movie


def check_edits(model: Model) -> None:
  """Raises UserError if `model` cannot edit clips."""
  check_generates(model.system, model.name)
  diffusion = model.system.diffusion
  if diffusion.artv or not diffusion.process.has_flow:
    kind = "makes one frame at a time" if diffusion.artv else "denoises tokens"
    raise UserError(f"{model.name} {kind}, with which clips cannot be edited; use another model.")


def read_clip(path: str | AnyPath, model: Model) -> tuple[dict[str, np.ndarray], str]:
  """Reads the first frames of a movie, as many as the training clips of `model` have, at its size and rate.

  Args:
    path: a video in any format that training reads; or an .npz file that `Movie.save` wrote, with its .json.
    model: the model for which the clip is read.

  Returns:
    (sense -> [frames, *shape] in [-1, 1], the prompt of an .npz file or ""). A video has sight alone.

  Raises:
    UserError: the file cannot be read or is too short, or its senses are not those of the model.
  """
  senses, frames, prompt = model.source.senses, model.source.frames, ""
  if (path := at(path)).suffix == ".npz":
    clip, _, info = read_arrays(path.with_suffix(""))
    prompt = str(info.get("prompt", ""))
    known = {sense.name for sense in build_senses([s.name for s in model.system.data.senses], model.source)}
    clip = {name: np.asarray(x, np.float32)[:frames] for name, x in clip.items() if name in known}
    if not clip:
      raise UserError(f"{path} has no sense that {model.name} knows ({', '.join(sorted(known))}).")
    for name, x in clip.items():
      if x.shape != (expected := (frames, *senses[name].shape)):
        raise UserError(f"{path}: {name} has shape {x.shape}; {model.name} expects {expected}.")
      if not (np.abs(x) <= 1).all():  # Also if a value is NaN.
        raise UserError(f"{path}: {name} has values outside of [-1, 1].")
  elif (sight := senses.get("sight")) is None:
    raise UserError(f"{model.name} has no sight, so it cannot read a video.")
  else:
    times = np.arange(frames) / sight.rate
    clip = floats({"sight": read_frames(str(path), times, *sight.shape[:2])})
  return clip, prompt
