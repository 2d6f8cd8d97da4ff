"""Trained models: where they lie, how they are loaded, how they make movies."""

import dataclasses
import functools
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.checkpoints.store import model_at
from stale_jax.checkpoints.weights import NAMED
from stale_jax.clip import Clip, Context
from stale_jax.compilation import batches, keep_compiled
from stale_jax.config import build_system
from stale_jax.construct import construct
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.files import at
from stale_jax.memory import keep_memory, on_disk
from stale_jax.movie import Movie
from stale_jax.sampling import (
  NextFrame,
  Rollout,
  Sampling,
  Story,
  artv,
  by_rows,
  causal,
  causal_programs,
  classifier_free,
  consistent,
  prompt_at,
  sample,
  tiled,
  turns,
  windows,
)
from stale_jax.script import LONGEST, Script
from stale_jax.system import System
from stale_jax.text import tokenize


@functools.cache
def _sampler(model, process, senses, solver: str, guided: bool, story: Story | None = None):
  """The sampler, compiled once a shape; of a `story` the batch are the panels."""

  @jax.jit
  def run(params, text, keys, times, scale, interval, steps=None, first=None, noise=None, micro=None):
    def denoiser(clip, t, context):
      return model.apply(params, clip, t, context)

    if story:
      drawn = jax.random.fold_in(keys[0], zlib.crc32(b"story"))
      denoiser = consistent(functools.partial(model.apply, params), story, times, drawn)
    chosen = classifier_free(denoiser, scale, interval) if guided else denoiser
    chosen = tiled(chosen, story.tile) if story else chosen
    return sample(
      process, chosen, senses, times, Context(text=text, **(micro or {})), keys, solver, steps, first, noise
    )

  return run


def _keys(seeds: Sequence[int]):
  """One a seed; raises UserError if one is impossible."""
  if min(seeds) < 0 or max(seeds) >= 2**32:
    raise UserError(f"seeds lie from 0 to 2^32 - 1; got {min(seeds)} to {max(seeds)}.")
  return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))


# The settings of a rollout, by name.
ROLLOUT = {field.name for field in dataclasses.fields(Rollout)}


def _apart(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """(those of a rollout that are not None, all others)."""
  given = {k: v for k, v in overrides.items() if k in ROLLOUT and v is not None}
  return given, {k: v for k, v in overrides.items() if k not in ROLLOUT}


class Model:
  """A trained model.

  Attributes:
    system: its data, network and diffusion.
    params: of its network, float32.
    name: where it was loaded from.
    scores: suite -> what `experiments.evaluate` last said of it, where it has.
    chosen: what `load` was told of how it is run.
  """

  def __init__(
    self,
    system: System,
    params: Any,
    name: str,
    scores: dict[str, Any] | None = None,
    chosen: dict[str, Any] | None = None,
  ):
    self.system, self.params, self.name = system, params, name
    self.scores, self.chosen = scores or {}, chosen or {}

  @property
  def source(self):
    """Of clips as `sample` makes them: a model of latents was trained on another's."""
    return self.system.data.source.pixels

  @property
  def _parts(self) -> tuple:
    """Network, process and senses."""
    return self.system.network, self.system.diffusion.process, self.system.data.senses

  @property
  def frames(self) -> int:
    """Frames of the clips it was trained on."""
    return self.system.data.source.frames

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
    **overrides,
  ) -> Clip:
    """One clip a prompt, as a batch; the clip of (prompt, seed) does not depend on the others.

    Args:
      prompts: captions; "" is the unconditional model.
      seeds: one a prompt.
      frames: of a clip, in the model's own (of latents, if it was trained on these); default as trained.
      first: sense -> [clips, given frames, *shape] that they begin with.
      micro: micro-conditions ("fps", "motion") that are asked for: of all clips, or one a clip.
      room: one program is to serve all numbers of steps up to this one; default: each has its own.
      story: how the clips see one another, if they are the panels of a story; each then depends on all.
      **overrides: of `Sampling`; the panels of a story are one batch.

    Raises:
      UserError: an unknown or impossible setting or seed.
    """
    self._need_process()
    experiment = self.system
    if experiment.diffusion.artv and (room or story):
      raise UserError(f"{self.name} makes frames one by one: it has no budget and no stories.")
    # It has learnt to make clips in no other way, or makes better ones so than all frames at once.
    if experiment.diffusion.artv or (experiment.diffusion.causal and not (story or room or micro)):
      return self._sample_rolled(prompts, seeds, frames or self.frames, first, micro or {}, **overrides)
    overrides = {**overrides, "batch": len(seeds)} if story else overrides
    keys, settings = _keys(seeds), self.settings(**overrides)
    if first:
      self._check_first(first, len(seeds), frames or self.frames)
      first = experiment.data.source.encode(first)
    known = self._asked(micro or {}, len(seeds))
    guided = settings.guidance != 1
    run = _sampler(*self._parts, settings.solver, guided, story)
    text = tokenize(prompts, experiment.network.text_length)
    times, steps, parts = settings.times(frames or self.frames), None, []
    if room:
      steps, times = settings.steps, jnp.pad(times, ((0, room - settings.steps), (0, 0), (0, 0)))
    guidance = settings.guidance, jnp.asarray(settings.interval)
    for rows in batches(len(seeds), settings.batch):
      begun = jax.tree.map(lambda x, rows=rows: jnp.asarray(x[rows], jnp.float32), first)
      own = {name: values[rows] for name, values in known.items()}
      made = run(self.params, text[rows], keys[rows], times, *guidance, steps, begun, micro=own)
      parts.append(jax.device_get(made))
    clip = {name: np.concatenate([part[name] for part in parts])[: len(seeds)] for name in parts[0]}
    return experiment.data.source.decode(clip)

  def rollout(
    self,
    prompts: Sequence[str | Sequence[tuple[int, str]]],
    seeds: Sequence[int],
    *,
    frames: int,
    first: Clip | None = None,
    **overrides,
  ) -> Iterator[Clip]:
    """Movies of any length, a chunk at a time: each item is sense -> [movies, new frames, *shape].

    Memory does not grow with `frames`. All movies are made together, each from its own seed.

    Args:
      prompts: one a movie, or a script of it: (from which frame on, prompt), the first from 0.
      seeds: one a movie.
      frames: of the movies.
      first: sense -> [movies, given frames, *shape] that they go on from.
      **overrides: of `Rollout` and of `Sampling`.

    Raises:
      UserError: an unknown or impossible setting, seed or script; a model that cannot go on from frames.
    """
    self._need_process()
    if len(prompts) != len(seeds) or not len(seeds):
      raise UserError(f"a rollout needs a seed for each prompt; got {len(seeds)} for {len(prompts)}.")
    if any(not isinstance(p, str) and (not p or p[0][0] > 0) for p in prompts):
      raise UserError("a script says what is asked for from frame 0 on.")
    given, sampling = _apart(overrides)
    network = self.system.network
    how = construct(Rollout, {**vars(self.system.diffusion.rollout), **given}, "rollout")
    settings = self.settings(**sampling)
    if self.source is not self.system.data.source:
      raise UserError(
        f"{self.name} makes latents, which are not rolled out: ask for clips as it was trained."
      )
    tokens = functools.cache(lambda prompts: jnp.asarray(tokenize(prompts, network.text_length)))

    def text(frame: int) -> jax.Array:
      return tokens(tuple(prompt_at(prompt, frame) for prompt in prompts))

    # What becomes of a cache becomes of all its movies: those that turn at other frames have others.
    together: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
      together.setdefault(() if how.on_change == "keep" else turns(prompt), []).append(row)
    if len(together) > 1:
      parts = [
        self.rollout(
          [prompts[i] for i in rows],
          [seeds[i] for i in rows],
          frames=frames,
          first={name: x[rows] for name, x in first.items()} if first else None,
          **overrides,
        )
        for rows in together.values()
      ]
      return by_rows(parts, list(together.values()))
    make = {"artv": self._artv, "causal": self._causal, "windows": self._windows}[how.how]
    return make(how, settings, text, _keys(seeds), frames, first)

  def _causal(self, how, settings, text, keys, frames, first) -> Iterator[Clip]:
    if not self.system.diffusion.causal:
      raise UserError(f"{self.name} is not causal: train with model.causal and times.independent.")
    programs = causal_programs(
      *self._parts,
      how,
      self.frames,
      settings.solver,
      settings.guidance != 1,
    )
    times = dataclasses.replace(settings, batch=len(keys)).times(how.chunk)
    guidance = settings.guidance, settings.interval
    return causal(
      programs, self.params, how, text, times, keys, frames, *guidance, first=first and self._whole(first)
    )

  def _artv(self, how, settings, text, keys, frames, first) -> Iterator[Clip]:
    experiment = self.system
    if not experiment.diffusion.artv:
      raise UserError(f"{self.name} does not make frames one by one: train with config.artv.")
    guided, guidance = settings.guidance != 1, (settings.guidance, jnp.asarray(settings.interval))
    program = NextFrame(*self._parts, settings.solver, guided)
    times = dataclasses.replace(settings, batch=len(keys)).times(program.frames)
    noise = jnp.full(len(keys), how.noise, jnp.float32)

    def draw(number: int, past: Clip | None) -> Clip:
      own = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
      given = program.given(past, len(keys))
      return jax.device_get(program(self.params, text(number), own, times, *guidance, *given, noise))

    return artv(draw, frames, first and self._whole(first))

  def _windows(self, how, settings, text, keys, frames, first) -> Iterator[Clip]:
    experiment, window = self.system, self.frames
    if not self.goes_on or experiment.diffusion.artv:
      raise UserError(f"{self.name} was not trained to go on from given frames: train with first.share=.5.")
    if how.given >= window:
      raise UserError(f"rollout given={how.given} leaves nothing of {window} frames.")
    guided = settings.guidance != 1
    run = _sampler(*self._parts, settings.solver, guided)
    times = dataclasses.replace(settings, batch=len(keys)).times(window)
    guidance = settings.guidance, jnp.asarray(settings.interval)
    noise = jnp.full(len(keys), how.noise, jnp.float32)

    def draw(number: int, frame: int, last: Clip | None) -> Clip:
      own = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
      noised = None if last is None else noise
      return jax.device_get(run(self.params, text(frame), own, times, *guidance, first=last, noise=noised))

    begun = {name: x[:, -how.given :] for name, x in first.items()} if first else None
    return windows(draw, frames, how.given, begun)

  def settings(self, **overrides) -> Sampling:
    """The sampler's settings: those of the config, but for `overrides` that are not None.

    Raises:
      UserError: an unknown or impossible setting.
    """
    given = {k: v for k, v in overrides.items() if v is not None}
    return construct(Sampling, {**vars(self.system.diffusion.sampling), **given}, "sampling")

  @property
  def goes_on(self) -> bool:
    """Whether it makes movies longer than the clips it was trained on as `rollout` does."""
    return self.system.diffusion.continues

  def generate(
    self,
    prompt: str | Script | Sequence[str | Script],
    seed: int = 0,
    *,
    seconds: float | None = None,
    first: Clip | None = None,
    fps: float | None = None,
    motion: float | None = None,
    budget_cents: float | None = None,
    price_per_hour: float | None = None,
    **overrides,
  ) -> Movie | list[Movie]:
    """Makes the movie of `prompt`, or a list of them for a list, all from the same seed.

    Args:
      prompt: what is to be seen, and, of a model that goes on from given frames, from when on.
      seed: of all the noise.
      seconds: at least this long; default as trained. A model that goes on from given frames is rolled out;
        of others a longer clip is beyond what it has seen.
      first: sense -> [given frames, *shape] that the movie begins with, of a model that was trained to go on
        (`config.first`).
      fps, motion: frames a second, and how much moves (`data.micro`), of a model that was trained to hear of
        them (`config.model.micro`).
      budget_cents: US cents for sampling them all, which then choose steps and solver (`planning.budget`).
      price_per_hour: of the device, in US dollars; default: its list price (`planning.prices`).
      **overrides: of `Sampling`: solver, steps, guidance, shift; and of `Rollout`.

    Raises:
      UserError: an empty prompt, a setting that is unknown or impossible, or too small a budget.
    """
    self._need_process()
    alone = isinstance(prompt, str | Script)
    prompts = [prompt] if alone else list(prompt)
    scripted = any(isinstance(text, Script) for text in prompts)
    for text in prompts or [""]:
      for part in [part for _, part in text.parts] if isinstance(text, Script) else [text]:
        self._check(part)
    if scripted and not self.goes_on:
      raise UserError(f"{self.name} cannot follow a script: train with first.share=.5, or a causal model.")
    frames = self.frames
    if seconds is not None:
      if not 0 < seconds <= LONGEST:
        raise UserError(f"seconds={seconds}: a positive number is needed, of a year at most.")
      group = math.lcm(*(s.patch[0] for s in self.system.data.senses))
      frames = math.ceil(seconds * (fps or next(iter(self.source.senses.values())).rate) - 1e-9)
      frames = self.system.data.source.length(frames)
      frames = group * -(-frames // group)
    rolls = self.goes_on and (scripted or frames > self.frames)
    micro = {name: value for name, value in (("fps", fps), ("motion", motion)) if value is not None}
    self._asked(micro, len(prompts))
    seeds = [seed] * len(prompts)
    if budget_cents is None:
      if price_per_hour is not None:
        raise UserError("price_per_hour prices a budget: give budget_cents too.")
      begun = {name: np.repeat(x[None], len(prompts), 0) for name, x in first.items()} if first else None
      make = self._rolled if rolls else self.sample
      clips = make(prompts, seeds, frames=frames, first=begun, micro=micro, **overrides)
      facts = [micro] * len(prompts)
    else:
      if rolls:
        raise UserError("a budget is for clips as long as the model was trained on: leave out seconds.")
      if first or micro:
        raise UserError("a budget is for clips of a prompt alone: leave out the first frame, fps and motion.")
      distilled = self.system.diffusion.sampling.solver == "consistency"  # Trained for its number of steps.
      if self.source is not self.system.data.source or distilled:
        raise UserError(
          f"{self.name} makes latents, or was trained for its number of steps: it has no budget to spend."
        )
      from stale_jax.planning import within_budget  # With it comes all that measures, a second of it.

      bought = within_budget(
        self, prompts, seeds, budget_cents, price=price_per_hour, frames=frames, **overrides
      )
      clips, facts, overrides = bought.clips, bought.facts, {**overrides, **bought.settings}
    movies = self._movies(clips, list(map(str, prompts)), seeds, facts, overrides)
    return movies[0] if alone else movies

  def _rolled(self, prompts, seeds, *, frames, first, micro, zeros=on_disk, **overrides) -> Clip:
    """Whole movies of a rollout, the given frames in front, in arrays of `zeros`: these take no memory."""
    if micro:
      raise UserError("fps and motion are for clips as long as the model was trained on: leave out seconds.")
    rate = next(iter(self.source.senses.values())).rate
    given = 0
    if first:
      self._check_first(first, len(seeds), frames)
      given = next(iter(first.values())).shape[1]

    def told(text: str | Script):  # The movie begins with the given frames, its rollout after them.
      if isinstance(text, str):
        return text
      return tuple((max(start - given, 0), prompt) for start, prompt in text.frames(rate))

    parts = self.rollout(list(map(told, prompts)), seeds, frames=frames - given, first=first, **overrides)
    movies, at = {}, 0
    for part in itertools.chain([self._whole(first)] if first else [], parts):
      for name, x in part.items():
        if name not in movies:
          movies[name] = zeros((len(seeds), frames, *x.shape[2:]))
        movies[name][:, at : at + x.shape[1]] = x
      at += x.shape[1]
    return movies

  def _sample_rolled(self, prompts, seeds, frames, first, micro, **overrides) -> Clip:
    """Clips of a rollout, so many at a time as others are sampled, by one program."""
    parts, memory = [], functools.partial(np.zeros, dtype=np.float32)
    for rows in batches(len(seeds), self.settings(**_apart(overrides)[1]).batch):
      some, keys = [prompts[i] for i in rows], [seeds[i] for i in rows]
      begun = {name: x[rows] for name, x in first.items()} if first else None
      own = {"frames": frames, "first": begun, "micro": micro, "zeros": memory}
      parts.append(self._rolled(some, keys, **own, **overrides))
    return {name: np.concatenate([part[name] for part in parts])[: len(seeds)] for name in parts[0]}

  def _whole(self, first: Clip) -> Clip:
    """`first` with every sense; of those it lacks nothing was there yet."""
    count, frames = next(iter(first.values())).shape[:2]
    senses = {sense.name: sense for sense in self.system.data.senses}
    none = {name: np.full((count, frames, *s.shape), -1.0, np.float32) for name, s in senses.items()}
    return {**none, **first}

  def story(self, prompts: Sequence[str], seed: int = 0, **overrides) -> list[Movie]:
    """Makes the panels of a story, a movie a prompt, of one character (`sampling.story`).

    Panel i is from the noise of `seed` + i, all its frames together: at rate=0 it depends on no other.

    Args:
      prompts: what they have in common is the character.
      seed: of the first panel's noise; the others' count up.
      **overrides: of `Story`: rate, plain, tile; and of `Sampling`.

    Raises:
      UserError: no or an empty prompt, a setting that is unknown or impossible, or a model whose clips
        cannot see one another.
    """
    self._need_process()
    if not prompts:
      raise UserError("a story needs a prompt for each of its panels.")
    for text in prompts:
      self._check(text)
    network = self.system.network
    if network.forms != "none" or network.merge:
      raise UserError(f"{self.name} has blocks of two forms or merged tokens, which see no other panel.")
    known = {field.name for field in dataclasses.fields(Story)}
    given = {k: v for k, v in overrides.items() if k in known and v is not None}
    story, rest = construct(Story, given, "story"), {k: v for k, v in overrides.items() if k not in known}
    seeds = [seed + panel for panel in range(len(prompts))]
    clips = self.sample(prompts, seeds, story=story, **rest)
    facts = {"batch": len(prompts), **dataclasses.asdict(story)}
    return self._movies(clips, prompts, seeds, [facts] * len(prompts), rest)

  def _movies(self, clips: Clip, prompts, seeds, facts, overrides) -> list[Movie]:
    """A movie a row of `clips`; `facts` are what else is said of how each was made."""
    how, settings = _apart(overrides)
    how = {**dataclasses.asdict(self.settings(**settings)), **how}
    senses = build_senses([sense.name for sense in self.system.data.senses], self.source)
    return [
      Movie(
        clip={name: np.asarray(x[i]) for name, x in clips.items()},
        senses=tuple(dataclasses.replace(s, rate=facts[i].get("fps", s.rate)) for s in senses),
        prompt=prompts[i],
        seed=seeds[i],
        how={"model": self.name, **self.chosen, **how, **facts[i]},
      )
      for i in range(len(prompts))
    ]

  def _asked(self, micro: Mapping[str, float | Sequence[float]], count: int) -> dict[str, jax.Array]:
    """The micro-conditions that are asked for, [count] each; raises UserError if they cannot be."""
    heard, known = self.system.network.micro, {}
    for name, value in micro.items():
      if name not in heard:
        raise UserError(f"{self.name} was not trained to hear of {name}: train with model.micro=({name!r},).")
      known[name] = np.broadcast_to(np.asarray(value, np.float32), (count,))
      good = known[name] > 0 if name == "fps" else known[name] >= 0
      if not (np.isfinite(known[name]) & good).all():
        raise UserError(f"{name}={value}: a number {'above 0' if name == 'fps' else 'from 0 up'} is needed.")
    return known

  def _check_first(self, first: Clip, count: int, frames: int) -> None:
    """Raises UserError if clips cannot begin with `first`."""
    if not self.goes_on:
      raise UserError(f"{self.name} was not trained to go on from given frames: train with first.share=.5.")
    senses = {sense.name: sense for sense in build_senses(list(first), self.source)}
    for name, x in first.items():
      wanted = (count, x.shape[1], *senses[name].shape)
      if x.shape != wanted or not 1 <= x.shape[1] < frames:
        raise UserError(f"first frames of {name} have shape {x.shape[1:]}; {wanted[1:]} is needed.")

  def _need_process(self) -> None:
    """Raises UserError if there is none to run backwards."""
    if self.system.is_autoencoder:
      raise UserError(f"{self.name} is an autoencoder: it codes clips, and makes none by itself.")

  def _check(self, prompt: str) -> None:
    """Raises UserError if `prompt` says nothing, or not all of it would be read."""
    if not prompt.strip():
      example = self.source[0]["caption"]
      raise UserError(f"the prompt is empty; say what is to be made, e.g. {example!r}.")
    try:
      length = len(prompt.encode())
    except UnicodeEncodeError as error:
      raise UserError("the prompt is not valid UTF-8.") from error
    most = self.system.network.text_length - 1
    if length > most:
      raise UserError(f"the prompt has {length} bytes and this model reads {most}: shorten {prompt!r}.")


def scores_path(path: Path) -> Path:
  """Where the scores of the model in `path`, a run's folder or a weights file, are kept."""
  return path / "evaluation.json" if path.is_dir() else path.with_suffix(".json")


# What of a model its weights leave open, and the value that says it has none of it.
_OPEN = {"turns": 0, "forms": "none"}


def load(path: str | Path | None = None, *, turns: int | None = None, forms: str | None = None) -> Model:
  """The model in `path`: a run's folder (its newest EMA), a weights file, or one that comes with the package.

  The latter are "shipped", the default, and "causal", of small movies of any length.

  Args:
    path: of the model.
    turns: of a model that was trained to be run round in turns; default as in training at the most.
    forms: "hard" or "dense", of a model that was trained with two forms; default as in training.

  Raises:
    UserError: there is no model at `path`, or none that can be run so.
  """
  keep_compiled()
  keep_memory()
  name = "shipped" if path is None else str(path)
  params, config = model_at(name)
  chosen = {k: v for k, v in {"turns": turns, "forms": forms}.items() if v is not None}
  section = config.get("model", {})
  for key, value in chosen.items():
    trained = section.get(key, _OPEN[key])
    if (value == _OPEN[key]) != (trained == _OPEN[key]):
      raise UserError(f"{key}={value} does not fit {name}, which was trained with model.{key}={trained}.")
  config = {**config, "model": {**section, **chosen}}
  try:
    scores = json.loads(scores_path(NAMED.get(name) or at(name)).read_text())
  except (OSError, ValueError):  # Never measured, or cut short: they are not needed to make movies.
    scores = {}
  return Model(build_system(config), jax.tree.map(jnp.asarray, params), name, scores, chosen)
