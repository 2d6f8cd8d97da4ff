"""Movies frame by frame, each after the first of them and the two before it (`objectives.artv`)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.objectives.artv import GIVEN, IS_REFERENCE, copying, given_frames
from stale_jax.processes import Process
from stale_jax.sampling.guidance import classifier_free
from stale_jax.sampling.rollout import Past
from stale_jax.sampling.sample import sample


@dataclasses.dataclass(frozen=True)
class NextFrame:
  """The program that makes one frame, compiled once a shape.

  Attributes:
    model: a network that was trained so.
    process: that it was trained by.
    senses: of its clips.
    solver: of `SOLVERS`.
    guided: whether by `classifier_free`.
  """

  model: object
  process: Process
  senses: tuple[Sense, ...]
  solver: str
  guided: bool
  frames = GIVEN + 1  # That the network sees, the new one among them.

  def given(self, past: Clip | None, size: int) -> tuple[Clip, Bool[np.ndarray, "given"]]:
    """The three frames that the next one is made after, out of those that are kept; and which there are."""
    if past is None:
      past = {sense.name: np.zeros((size, 1, *sense.shape), np.float32) for sense in self.senses}
      frame = 0
    else:
      frame = next(iter(past.values())).shape[1]
    order, there = jax.device_get(given_frames(jnp.asarray(frame)))
    return {name: x[:, order] for name, x in past.items()}, there

  @functools.partial(jax.jit, static_argnums=0)
  def __call__(
    self,
    params,
    text: Int[Array, "batch length"],
    keys: PRNGKeyArray,
    times: Float[Array, "steps+1 batch 4"],
    scale: Float[Array, ""],
    interval: Float[Array, "2"],
    given: Clip,
    there: Bool[Array, "given"],
    noise: Float[Array, "batch"],
  ) -> Clip:
    """The next frame, sense -> [batch, 1, *shape].

    Args:
      params: of the network.
      text: tokens of the captions.
      keys: one a movie, of this frame's noise.
      times: of the frame; those of the references are `noise`, that of the anchor is 0.
      scale, interval: of guidance.
      given, there: of the method `given`.
      noise: the time k to which the references are brought before the network sees them.
    """
    noise = noise[:, None] * IS_REFERENCE
    real = jnp.broadcast_to(jnp.append(there, True), (len(text), self.frames))
    context = Context(text=text, valid={sense.name: real for sense in self.senses})
    denoiser = copying(self.model, params, given)
    chosen = classifier_free(denoiser, scale, interval) if self.guided else denoiser
    clip = sample(
      self.process, chosen, self.senses, times, context, keys, self.solver, first=given, noise=noise
    )
    return {name: x[:, -1:] for name, x in clip.items()}


def artv(draw: Callable[[int, Clip | None], Clip], frames: int, first: Clip | None = None) -> Iterator[Clip]:
  """So many frames one by one.

  Args:
    draw: (number of the frame, of those before it the first and the last two, as far as there are) -> it.
    frames: of the movie.
    first: those that it goes on from; they are not of it.
  """
  past = Past(room=GIVEN, sinks=1)
  if first:
    past.add(first)
  for number in range(frames):
    frame = draw(number, past.frames)
    past.add(frame)
    yield frame
