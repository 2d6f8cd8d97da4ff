"""Assembles whole movies from the chunks of a sampler."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from stale_jax.clip import Clip, Sense
from stale_jax.compilation import batches
from stale_jax.progress import Stage, tracked
from stale_jax.sampling.samplers.kept import length
from stale_jax.sampling.samplers.request import Request, Sampler


def every_sense(first: Clip, senses: tuple[Sense, ...]) -> Clip:
  """Adds the missing senses to conditioning frames, filled with -1, which means absent."""
  count, frames = next(iter(first.values())).shape[:2]
  nothing = {sense.name: np.full((count, frames, *sense.shape), -1.0, np.float32) for sense in senses}
  return {**nothing, **first}


def complete(
  chunks: Iterator[Clip],
  senses: tuple[Sense, ...],
  movies: int,
  frames: int,
  first: Clip | None = None,
  zeros: Callable[[tuple[int, ...]], np.ndarray] = lambda shape: np.zeros(shape, np.float32),
) -> Clip:
  """Concatenates the chunks of a sampler into whole movies.

  Args:
    chunks: the chunks of a sampler.
    senses: the senses of the model.
    movies: number of movies.
    frames: number of frames per movie, including conditioning frames.
    first: conditioning frames, which become the first frames of the movies.
    zeros: shape -> a new array, in memory or in a file, into which a sense is written.

  Returns:
    sense -> [movies, frames, *shape].
  """
  given = [every_sense(first, senses)] if first else []
  whole, at = {}, 0
  for part in itertools.chain(given, chunks):
    for name, x in part.items():
      if name not in whole:
        whole[name] = zeros((movies, frames, *x.shape[2:]))
      whole[name][:, at : at + x.shape[1]] = x
    at += length(part)
  return whole


def complete_batches(
  sampler: Sampler, params, request: Request, senses: tuple[Sense, ...], width: int
) -> Clip:
  """Makes whole movies, `width` at a time; the last batch is padded so that one program serves all batches.

  Returns:
    sense -> [movies, frames, *shape], including the conditioning frames.
  """
  frames = request.frames + (length(request.first) if request.first else 0)
  parts = []
  for rows in batches(len(request), width):
    some = request.take(rows)
    parts.append(complete(sampler(params, some), senses, width, frames, some.first))
  return {name: np.concatenate([part[name] for part in parts])[: len(request)] for name in parts[0]}


def reporting(sampler: Sampler, stage: Stage) -> Sampler:
  """Wraps `sampler` so that `stage` advances by the number of clips sampled; a chunk counts as a fraction."""

  def sample(params, request: Request) -> Iterator[Clip]:
    share = len(request) / request.frames
    return tracked(sampler(params, request), stage, lambda chunk: share * length(chunk))

  return sample
