"""Patchify and unpatchify: conversion between a sense and its tokens, and the positions of the tokens."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Sense
from stale_jax.models.layers import rotary_angles


def patchify(x: Float[Array, "batch frames *shape"], sense: Sense) -> Float[Array, "batch time place values"]:
  """Cuts a sense into tokens, each with the values of one patch; places are in row-major order."""
  batch, frames, *shape = x.shape
  sizes = (frames, *shape)
  split = [n for size, p in zip(sizes[:-1], sense.patch, strict=True) for n in (size // p, p)]
  x = jnp.reshape(x, (batch, *split, sizes[-1]))
  axes = len(sense.patch)
  x = jnp.transpose(x, (0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1))
  grid = sense.grid(frames)
  return jnp.reshape(x, (batch, grid[0], math.prod(grid[1:]), -1))


def unpatchify(
  tokens: Float[Array, "batch time place values"], sense: Sense
) -> Float[Array, "batch frames *shape"]:
  """Inverse of `patchify`."""
  batch, time = tokens.shape[:2]
  grid = sense.grid(time * sense.patch[0])
  axes = len(sense.patch)
  x = jnp.reshape(tokens, (batch, *grid, *sense.patch, sense.shape[-1]))
  order = [axis for i in range(axes) for axis in (1 + i, 1 + axes + i)]
  x = jnp.transpose(x, (0, *order, 2 * axes + 1))
  return jnp.reshape(x, (batch, time * sense.patch[0], *sense.shape))


def positions(sense: Sense, frames: int) -> Float[np.ndarray, "tokens 3"]:
  """The position (time, y, x) of each token, time-major.

  Time is the middle of the patch in frames; y and x count patches and are 0 for senses without them.
  """
  grid = sense.grid(frames)
  coordinates = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, len(grid))
  out = np.zeros((len(coordinates), 3), np.float32)
  out[:, 0] = coordinates[:, 0] * sense.patch[0] + (sense.patch[0] - 1) / 2
  for axis in range(1, min(len(grid), 3)):
    out[:, axis] = coordinates[:, axis]
  return out


def sense_angles(sense: Sense, frames: int, head_width: int) -> Float[Array, "tokens {head_width}//2"]:
  """`rotary_angles` at the `positions` of a sense, as the sum of one small table per axis.

  So a program contains the tables instead of a constant for all tokens: 19 MB at 75,600 tokens.
  """
  grid, corners = sense.grid(frames), positions(sense, frames)
  corners = np.reshape(corners, (*grid, 3))
  total = jnp.zeros((*grid, head_width // 2), jnp.float32)
  for axis in range(min(len(grid), 3)):
    along = np.moveaxis(corners, axis, 0).reshape(grid[axis], -1, 3)[:, 0]
    table = rotary_angles(along * np.eye(3)[axis], head_width)
    total += np.reshape(table, (grid[axis], *(1,) * (len(grid) - axis - 1), -1))
  return jnp.reshape(total, (-1, head_width // 2))
