"""Scaling of attention at inference to other numbers of tokens than in training.

With more keys than in training, attention is spread over more of them: with logits of variance v, its entropy
is about log(keys) - v / 2. Jin et al. (Training-free Diffusion Model Adaptation for Variable-Sized
Text-to-Image Synthesis, arXiv 2306.08645) scale the logits of self-attention by sqrt(log_T(N) / d) in place
of sqrt(1 / d), where T and N are the numbers of keys in training and now. The entropy then changes less, and
not at all for v = 2 log T. The correction is partial: where v is smaller, most of the change remains.

Here the keys are multiplied, after QK-norm, so that every attention backend serves. In joint attention only
the keys of the senses are scaled, since the caption has as many tokens as in training. With two forms of
attention, N and T are counted along the axis of each form.
"""

import math
from collections.abc import Mapping

from jaxtyping import Array

# Stream -> (time steps, places per time step).
Shapes = Mapping[str, tuple[int, int]]


def key_scale(now: int, trained: int) -> float:
  """sqrt(log(now) / log(trained)), for numbers of keys; those below 2 count as 2, as their logarithm is 0."""
  return 1.0 if now == trained else math.sqrt(math.log(max(now, 2)) / math.log(max(trained, 2)))


def scaled_keys(k: dict[str, Array], trained: Shapes) -> dict[str, Array]:
  """Scales the keys of the senses for joint attention; returns `k` itself for the number of keys of training.

  Args:
    k: stream -> keys, [batch, time, place, heads, width].
    trained: the shapes of the senses in training.
  """
  names = [name for name in k if name in trained]
  now = sum(k[name].shape[1] * k[name].shape[2] for name in names)
  scale = key_scale(now, sum(math.prod(trained[name]) for name in names))
  return k if scale == 1 else {name: x * scale if name in names else x for name, x in k.items()}


def scaled_along(
  k: dict[str, Array], trained: Shapes, having: tuple[str, ...], axis: int
) -> dict[str, Array]:
  """Scales the keys of the senses for attention among tokens that share a coordinate (`models.forms`).

  Such a token sees, of each sense in `having`, the tokens with its coordinate, and all tokens of the others.

  Args:
    k, trained: see `scaled_keys`.
    having: the senses whose tokens have the coordinate.
    axis: axis of the coordinate in a stream: 1 for time, 2 for place.
  """
  names = [name for name in k if name in trained]

  def seen(shapes: Shapes) -> int:
    return sum(shapes[n][2 - axis] if n in having else math.prod(shapes[n]) for n in names)

  scale = key_scale(seen({name: k[name].shape[1:3] for name in names}), seen(trained))
  return k if scale == 1 else {name: x * scale if name in names else x for name, x in k.items()}
