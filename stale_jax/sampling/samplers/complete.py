"""Whole movies out of a sampler's chunks."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from stale_jax.clip import Clip, Sense
from stale_jax.compilation import batches
from stale_jax.sampling.samplers.kept import length
from stale_jax.sampling.samplers.request import Request, Sampler


def every_sense(first: Clip, senses: tuple[Sense, ...]) -> Clip:
  """Conditioning frames with every sense; a sense that they lack is -1, nothing there."""
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
  """Whole movies: sense -> [movies, frames, *shape].

  Args:
    chunks: of a sampler.
    senses: of the model.
    movies, frames: how many, conditioning frames included.
    first: conditioning frames, which become the first frames of the movies.
    zeros: shape -> the array that a sense is written to.
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
  """Whole movies of `request`, `width` at a time; the last batch is padded: one program serves all."""
  frames = request.frames + (length(request.first) if request.first else 0)
  parts = []
  for rows in batches(len(request), width):
    some = request.take(rows)
    parts.append(complete(sampler(params, some), senses, width, frames, some.first))
  return {name: np.concatenate([part[name] for part in parts])[: len(request)] for name in parts[0]}
