"""Requests for movies, and the protocol that samplers follow."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.errors import UserError
from stale_jax.sampling.inpainting.known import Known
from stale_jax.sampling.sample import Start
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.story import Story
from stale_jax.script import FrameScript, captions, check_applied, turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """A batch of movies to make.

  Attributes:
    prompts: one prompt or script per movie.
    keys: one per movie, [batch]; all noise of a movie is drawn from its key.
    frames: number of new frames per movie.
    settings: settings of each denoising run.
    first: conditioning frames before the new frames, sense -> [batch, given, *shape]; None for none.
    initial_noise: noise at time 1 of the first new frames, or of all, sense -> [batch, frames, *shape], in
      all senses of the network. That of later frames is drawn from the prior; None draws that of all frames.
    micro: micro-conditions, name -> [batch].
    known: known values anywhere in the movies, for in-painting; None for none.
    story: settings of attention between the movies if they are the panels of a story; None otherwise.
    start: the state from which the solver starts; None for the draw of the prior.
    most_steps: compile one program for all numbers of solver steps up to this one; None compiles one program
      per number of steps.
  """

  prompts: Sequence[str | FrameScript]
  keys: Key[Array, "batch"]
  frames: int
  settings: Sampling
  first: Clip | None = None
  initial_noise: Clip | None = None
  micro: Mapping[str, Array] = dataclasses.field(default_factory=dict)
  known: Known | None = None
  story: Story | None = None
  start: Start | None = None
  most_steps: int | None = None

  def __len__(self) -> int:
    return len(self.prompts)

  def take(self, rows: Sequence[int] | Int[np.ndarray, "rows"]) -> "Request":
    """Returns the request for the movies at indices `rows` alone."""
    return dataclasses.replace(
      self,
      prompts=[self.prompts[row] for row in rows],
      keys=self.keys[jnp.asarray(rows)],
      first=self.first and {name: x[rows] for name, x in self.first.items()},
      initial_noise=self.initial_noise and {name: x[rows] for name, x in self.initial_noise.items()},
      known=self.known and self.known.take(rows),
      micro={name: x[rows] for name, x in self.micro.items()},
    )

  def check_scripts(self, first: int, step: int) -> None:
    """Raises UserError unless chunks of `first`, then `step` frames use every prompt of the scripts."""
    for prompt in self.prompts:
      check_applied(prompt, self.frames, first, step)

  def contexts(self, length: int) -> Callable[[int], Context]:
    """Returns a function from the index of a frame to the context at this frame.

    While no caption changes, `context.text` is the same object, so that `is` detects changes.

    Args:
      length: number of tokens to which captions are padded or cut.
    """
    text, micro = captions(self.prompts, length), {n: jnp.asarray(x) for n, x in self.micro.items()}
    return lambda frame: Context(text=text(frame), **micro)

  def grid(self, frames: int, senses: Sequence[Sense]) -> tuple[Array, int | None]:
    """The time grid for denoising `frames` frames of `senses`.

    Returns:
      (times, number of steps to take). Without `most_steps`, times are [steps + 1, batch, frames] and the
      number is None: all steps. Otherwise times are padded with zeros to [most_steps + 1, batch, frames].
      Steps that `start` replaces are left out.
    """
    times = dataclasses.replace(self.settings, batch=len(self)).times(frames, senses)
    times = times[self.start.skipped(self.settings.steps) if self.start else 0 :]
    if self.most_steps is None:
      return times, None
    steps = len(times) - 1
    return jnp.pad(times, ((0, self.most_steps - steps), (0, 0), (0, 0))), steps


@runtime_checkable
class Sampler(Protocol):
  """A way of making movies. A call checks the request and returns an iterator of chunks.

  Chunks are consecutive in time, sense -> [movies, new frames, *shape], on the host. They do not include the
  conditioning frames. Memory does not grow with the number of chunks.
  """

  def __call__(self, params, request: Request) -> Iterator[Clip]: ...


@runtime_checkable
class ChosenSampler(Sampler, Protocol):
  """A sampler that `rollout.how` can select.

  Attributes:
    settings: names of the `Rollout` settings that the sampler uses.
  """

  settings: ClassVar[tuple[str, ...]]

  @classmethod
  def build(cls, rollout: Rollout, system) -> Sampler:
    """Builds the sampler for `system` with the settings `rollout`.

    Raises:
      UserError: the model was not trained for this sampler, or the settings do not suit its number of frames.
    """
    ...


def parts_of(system) -> dict[str, Any]:
  """The parts of `system` that all samplers need, as keyword arguments of their constructors."""
  return {"network": system.network, "process": system.diffusion.process, "senses": system.data.senses}


def refuse(request: Request, how: str, supports: Collection[str]) -> None:
  """Raises UserError if `request` uses a feature that the sampler `how` does not support.

  Args:
    request: the request.
    how: key of the sampler in `SAMPLERS`.
    supports: the features that it supports, of "budget", "story", "script", "start", "initial_noise" and
      "known".
  """
  used = {
    "budget": (request.most_steps is not None, "a budget: leave out budget_cents (or room)"),
    "story": (request.story is not None, "stories: set how to 'causal' or 'all_frames'"),
    "script": (any(turns(prompt) for prompt in request.prompts), "scripts: give one prompt per movie"),
    "start": (request.start is not None, "a teleport: set how to 'all_frames'"),
    "initial_noise": (
      request.initial_noise is not None,
      "tuned noise: leave out prior, or set how to 'all_frames'",
    ),
    "known": (request.known is not None, "known values: set how to 'all_frames'"),
  }
  for feature, (is_used, message) in used.items():
    if is_used and feature not in supports:
      raise UserError(f"how={how!r} does not support {message}.")
