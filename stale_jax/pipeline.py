"""Trained models for notebooks and programs: load one, make movies with it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stale_jax.checkpoints.adapter_file import weighted
from stale_jax.checkpoints.named import DEFAULT
from stale_jax.checks import (
  check_budget,
  check_first,
  check_generates,
  check_price,
  check_prompts,
  check_rollout,
  check_start,
  initial_noise_of,
  keys_of,
  length_of,
  micro_of,
)
from stale_jax.clip import Clip
from stale_jax.compilation import keep_compiled
from stale_jax.construct import construct
from stale_jax.data import build_senses
from stale_jax.files import AnyPath
from stale_jax.loading import loaded
from stale_jax.memory import keep_memory, zeros_on_disk
from stale_jax.mesh import MeshShape
from stale_jax.movie import Movie, movies_of
from stale_jax.progress import Stage, tracked
from stale_jax.renamed import with_new_names
from stale_jax.sampling import (
  Known,
  Request,
  Rollout,
  Sampling,
  Start,
  Story,
  complete,
  complete_batches,
  overridden,
  replaced,
  reporting,
)
from stale_jax.sampling.noise_prior import NoisePrior
from stale_jax.sampling.samplers.kept import length
from stale_jax.script import FrameScript, Script
from stale_jax.story import check_story, story_of
from stale_jax.system import System

_ROLLOUT = {field.name for field in dataclasses.fields(Rollout)}


@dataclasses.dataclass(eq=False, repr=False)
class Model:
  """A trained model.

  Attributes:
    system: data, network and diffusion.
    params: parameters of the network, float32.
    name: path or name that the model was loaded from.
    scores: suite -> latest scores of `experiments.evaluate`.
    chosen: settings of the network that were overridden by `load`, and its adapters.
  """

  system: System
  params: Any
  name: str
  scores: dict[str, Any] = dataclasses.field(default_factory=dict)
  chosen: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def source(self):
    """The source of decoded clips, which `sample` returns. A latent model is trained on encoded clips."""
    return self.system.data.source.pixels

  @property
  def frames(self) -> int:
    """Number of frames of the training clips."""
    return self.system.data.source.frames

  @property
  def goes_on(self) -> bool:
    """Whether `rollout` can make movies longer than the training clips."""
    return self.system.diffusion.continues

  def settings(self, **overrides) -> Sampling:
    """The settings of the sampler: those of the config, changed by `sampling.overridden`."""
    return overridden(self.system.diffusion.sampling, **overrides)

  def sample(
    self,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    frames: int | None = None,
    room: int | None = None,
    first: Clip | None = None,
    micro: Mapping[str, float | Sequence[float]] | None = None,
    story: Story | None = None,
    start: Start | None = None,
    prior: NoisePrior | None = None,
    known: Known | None = None,
    **overrides,
  ) -> Clip:
    """Samples one clip per prompt; returns decoded clips, sense -> [clips, frames, *shape], in [-1, 1].

    Each clip depends only on its own prompt and seed. A causal model is rolled out, a model trained with
    `config.artv` makes one frame at a time, and any other model denoises all frames together.

    Args:
      prompts: captions; "" samples unconditionally.
      seeds: one per prompt.
      frames: frames (of a latent model, latent frames) of a clip; default: the length of training clips.
      room: compile one program for all numbers of steps up to this one; default: one program per number.
      first: sense -> [clips, conditioning frames, *shape], the first frames of the clips.
      micro: micro-conditions ("fps", "motion"): one value for all clips, or one per clip.
      known: known values of the clips, as the network sees them (`stale_jax.inpainting`).
      story: how clips attend to each other if they are panels of a story; then each clip depends on all.
      start: where the solver starts, for example a teleport.
      prior: distribution of the initial noise (`sampling.noise_prior`); None for that of the process.
      **overrides: settings of `Sampling` and `Rollout`; `how` chooses another sampler.

    Raises:
      UserError: a setting or seed is unknown or out of range, or the sampler does not support the request.
    """
    check_generates(self.system, self.name)
    how, settings = _settings(self, overrides, rolls=False)
    frames, source = frames or self.frames, self.system.data.source
    check_start(start, bool(first) or frames != self.frames)
    if first:
      check_first(self.system, self.source, first, len(seeds), frames, self.name)
      first = source.encode(first)
    more = {"story": story, "start": start, "known": known, "most_steps": room}
    request = _request(self, prompts, seeds, frames, settings, first, micro, prior, **more)
    width = len(seeds) if story else settings.width(len(seeds))
    with _stage("sampling", len(seeds), "clip") as stage:
      sampler = reporting(self.system.sampler(how), stage)
      return source.decode(complete_batches(sampler, self.params, request, self.system.data.senses, width))

  def rollout(
    self,
    prompts: Sequence[str | FrameScript],
    seeds: Sequence[int],
    *,
    frames: int,
    first: Clip | None = None,
    micro: Mapping[str, float | Sequence[float]] | None = None,
    prior: NoisePrior | None = None,
    **overrides,
  ) -> Iterator[Clip]:
    """Makes movies of any length in chunks; each chunk is sense -> [movies, new frames, *shape].

    Memory does not grow with `frames`. All movies are made together, each with its own seed.

    Args:
      prompts: one prompt per movie, or one script per movie: (start frame, prompt) pairs, the first from 0.
      seeds: one per movie.
      frames: number of new frames of the movies.
      first: sense -> [movies, conditioning frames, *shape], which the movies continue; not returned again.
      micro, prior: as for `sample`.
      **overrides: settings of `Rollout` and `Sampling`.

    Raises:
      UserError: a setting, seed or script is invalid, or the model cannot continue frames.
    """
    check_generates(self.system, self.name)
    check_rollout(self.system, self.source, prompts, seeds, self.name)
    how, settings = _settings(self, overrides, rolls=True)
    request = _request(self, prompts, seeds, frames + _given(first), settings, first, micro, prior)
    stage = _stage("rolling out", frames, "frame")
    return tracked(self.system.sampler(how)(self.params, request), stage, length)

  def generate(
    self,
    prompt: str | Script | Sequence[str | Script],
    seed: int = 0,
    *,
    seconds: float | None = None,
    first: Clip | None = None,
    fps: float | None = None,
    motion: float | None = None,
    prior: NoisePrior | None = None,
    budget_cents: float | None = None,
    price_per_hour: float | None = None,
    start: Start | None = None,
    **overrides,
  ) -> Movie | list[Movie]:
    """Makes the movie of a prompt; for a list of prompts, a list of movies with the same seed.

    Args:
      prompt: caption of the movie ("" for none), or a script, for a model that can continue frames.
      seed: seed of the noise.
      seconds: least length; default: that of training clips, for scripts after the start of the last prompt.
        Longer movies are rolled out if the model can continue frames, and otherwise denoised as one clip.
      first: sense -> [conditioning frames, *shape], the first frames of the movie (`config.first`).
      fps, motion: micro-conditions (`clip.Context`), for a model trained with `config.model.micro`.
      prior, start: as for `sample`.
      budget_cents: budget in US cents for sampling all movies (`planning.budget`).
      price_per_hour: price of the device in US dollars per hour; default: list price (`planning.prices`).
      **overrides: settings of `Sampling` (solver, steps, guidance, shift, ...) and of `Rollout`.

    Raises:
      UserError: a prompt or setting is invalid, the movie ends before its script, or the budget is too small.
    """
    check_generates(self.system, self.name)
    alone = isinstance(prompt, str) or not isinstance(prompt, Sequence)
    prompts = [prompt] if alone else list(prompt)
    check_prompts(self.system, prompts, self.name)
    frames, rate = length_of(self.system, self.source, prompts, seconds, fps)
    rolls = self.goes_on and (frames > self.frames or any(not isinstance(text, str) for text in prompts))
    micro = {name: value for name, value in (("fps", fps), ("motion", motion)) if value is not None}
    micro_of(self.system, micro, len(prompts), self.name)
    seeds = [seed] * len(prompts)
    facts = [micro if prior is None else {**micro, "prior": prior.name}] * len(prompts)
    first = first and {name: np.repeat(x[None], len(prompts), 0) for name, x in first.items()}
    check_start(start, rolls or budget_cents is not None)
    check_price(price_per_hour, budget_cents)
    if budget_cents is not None:
      from stale_jax.planning import within_budget  # Imports `evaluation`, which takes a second.

      check_budget(self.system, self.source, rolls, bool(first or micro or prior), self.name)
      options = {"price": price_per_hour, "frames": frames, **overrides}
      bought = within_budget(self, prompts, seeds, budget_cents, **options)
      clips, facts, overrides = bought.clips, bought.facts, {**overrides, **bought.settings}
    elif rolls:
      more = {"micro": micro, "prior": prior, **overrides}
      clips = _rolled_out(self, prompts, seeds, frames, rate, first, **more)
    else:
      more = {"first": first, "micro": micro, "prior": prior, "start": start, **overrides}
      clips = self.sample(prompts, seeds, frames=frames, **more)
    movies = _movies(self, clips, list(map(str, prompts)), seeds, facts, overrides)
    return movies[0] if alone else movies

  def story(self, prompts: Sequence[str], seed: int = 0, **overrides) -> list[Movie]:
    """Makes the panels of a story: one movie per prompt, all of the same character (`sampling.story`).

    Args:
      prompts: one per panel; their common words describe the character.
      seed: seed of the noise of the first panel; panel i has `seed` + i.
      **overrides: settings of `Story` (at rate=0 the panels are independent), `Sampling` and `Rollout`.

    Raises:
      UserError: a prompt is empty, a setting is invalid, or the network cannot attend across panels.
    """
    check_generates(self.system, self.name)
    check_story(self.system, prompts, self.name)
    check_prompts(self.system, prompts, self.name)
    story, rest = story_of(overrides)
    seeds = [seed + panel for panel in range(len(prompts))]
    clips = self.sample(prompts, seeds, story=story, **rest)
    facts = [{"batch": len(prompts), **dataclasses.asdict(story)}] * len(prompts)
    return _movies(self, clips, prompts, seeds, facts, rest)


def _divided(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """Splits overrides into (settings of `Rollout` that are not None, all other settings)."""
  overrides = with_new_names("rollout", overrides)
  own = {name: value for name, value in overrides.items() if name in _ROLLOUT and value is not None}
  return own, {name: value for name, value in overrides.items() if name not in _ROLLOUT}


def _settings(model: Model, overrides: Mapping[str, Any], rolls: bool) -> tuple[Rollout, Sampling]:
  """The settings of one call of `sample` or `rollout`.

  Args:
    model: the model.
    overrides: settings of `Rollout` and `Sampling` that replace those of the config.
    rolls: whether movies may be longer than the training clips.
  """
  diffusion, (own, others) = model.system.diffusion, _divided(overrides)
  usual = diffusion.rollout.how if rolls or diffusion.causal or diffusion.artv else "all_frames"
  return replaced(diffusion.rollout, **{"how": usual, **own}), model.settings(**others)


def _request(model: Model, prompts, seeds, frames: int, settings, first, micro, prior, **more) -> Request:
  """Builds a request for movies of `frames` frames in all, including the conditioning frames `first`."""
  keys, given = keys_of(seeds), _given(first)
  return Request(
    prompts=list(prompts),
    keys=keys,
    frames=frames - given,
    settings=settings,
    first=first and {sense: np.asarray(x, np.float32) for sense, x in first.items()},
    initial_noise=initial_noise_of(model.system, prior, keys, frames, given),
    micro=micro_of(model.system, micro or {}, len(seeds), model.name),
    **more,
  )


def _given(first: Clip | None) -> int:
  """The number of conditioning frames."""
  return length(first) if first else 0


def _rolled_out(model: Model, prompts, seeds, frames: int, rate: float, first, **more) -> Clip:
  """Movies of `frames` frames at `rate` frames per second, including the conditioning frames `first`."""
  check_first(model.system, model.source, first, len(prompts), frames, model.name)
  given = _given(first)
  told = [text if isinstance(text, str) else text.frames(rate, given) for text in prompts]
  chunks = model.rollout(told, seeds, frames=frames - given, first=first, **more)
  return complete(chunks, model.system.data.senses, len(prompts), frames, first, zeros_on_disk)


def _stage(text: str, total: int, unit: str) -> Stage:
  """The progress stage of sampling `total` clips or frames; `unit` is the singular of what is counted."""
  note = "compiling the sampler takes up to a minute the first time"
  return Stage(text, total, unit if total == 1 else f"{unit}s", note=note)


def _movies(model: Model, clips: Clip, prompts, seeds, facts, overrides) -> list[Movie]:
  """The movies of a batch of clips, with the settings they were made with."""
  own, others = _divided(overrides)
  how = {"model": model.name, **model.chosen, **dataclasses.asdict(model.settings(**others)), **own}
  senses = build_senses([sense.name for sense in model.system.data.senses], model.source)
  return movies_of(clips, senses, prompts, seeds, how, facts)


def load(
  path: str | AnyPath | None = None,
  *,
  turns: int | None = None,
  forms: str | None = None,
  mesh: Mapping[str, int] | None = None,
  adapters: Sequence[str | AnyPath | tuple[str | AnyPath, float]] = (),
) -> Model:
  """Loads a model from a run folder (newest EMA), a weights file, or by name from the package.

  The package contains "cartoons", the default; "digits"; "causal", a smaller model of digits; and
  "autoencoder".

  Args:
    path: path or name of the model.
    turns: number of times that the looped blocks of a model run (`models.cycle`); default: the maximum in
      training.
    forms: "hard" or "dense", for a model whose blocks have two forms (`models.forms`); default: as in
      training.
    mesh: shape of the mesh of devices that hold the parameters and make movies, as the config section `mesh`,
      for example {"fsdp": 8}; default: a single device. In a run of several processes, all of them must make
      the same calls, and all receive the results.
    adapters: adapters to merge into the model: files or folders of runs, each alone or as (path, weight).

  Raises:
    UserError: there is no model at `path`, its weights are not finite, or `turns`, `forms`, `mesh` or an
      adapter does not fit it or the devices.
  """
  keep_memory()
  keep_compiled()
  name = DEFAULT if path is None else str(path)
  shape = None if mesh is None else construct(MeshShape, mesh, "mesh")
  with Stage(f"loading {name}"):
    return Model(*loaded(name, turns, forms, shape, weighted(adapters)))
