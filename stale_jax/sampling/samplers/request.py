"""What a sampler is asked for, and the protocol of samplers."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from stale_jax.clip import Clip, Context
from stale_jax.errors import UserError
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.story import Story
from stale_jax.script import FrameScript, captions, turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """A batch of movies to make.

  Attributes:
    prompts: one per movie, or a script of it.
    keys: one per movie, [batch]; all noise of a movie comes from its key.
    frames: new frames per movie.
    settings: of each denoising run.
    first: conditioning frames, sense -> [batch, given, *shape], that the new frames follow; None: none.
    micro: micro-conditions, name -> [batch].
    story: how the movies see one another, if they are the panels of a story.
    most_steps: one program serves every number of steps up to this; None: each number has its own.
  """

  prompts: Sequence[str | FrameScript]
  keys: Key[Array, "batch"]
  frames: int
  settings: Sampling
  first: Clip | None = None
  micro: Mapping[str, Array] = dataclasses.field(default_factory=dict)
  story: Story | None = None
  most_steps: int | None = None

  def __len__(self) -> int:
    return len(self.prompts)

  def take(self, rows: Sequence[int] | Int[np.ndarray, "rows"]) -> "Request":
    """The same of some of the movies."""
    return dataclasses.replace(
      self,
      prompts=[self.prompts[row] for row in rows],
      keys=self.keys[jnp.asarray(rows)],
      first=self.first and {name: x[rows] for name, x in self.first.items()},
      micro={name: x[rows] for name, x in self.micro.items()},
    )

  def contexts(self, length: int) -> Callable[[int], Context]:
    """frame -> the context there; its text, of `length` bytes, is the same array until a caption changes."""
    text, micro = captions(self.prompts, length), {n: jnp.asarray(x) for n, x in self.micro.items()}
    return lambda frame: Context(text=text(frame), **micro)

  def grid(self, frames: int) -> tuple[Array, int | None]:
    """(times of a run over so many frames [steps + 1, batch, frames], how many of the steps to take)."""
    times = dataclasses.replace(self.settings, batch=len(self)).times(frames)
    if self.most_steps is None:
      return times, None
    missing = self.most_steps - self.settings.steps
    return jnp.pad(times, ((0, missing), (0, 0), (0, 0))), self.settings.steps


@runtime_checkable
class Sampler(Protocol):
  """A way of making movies. It is built once, checks a request when it is called, and yields chunks.

  The chunks follow one another in time, sense -> [movies, new frames, *shape], on the host; conditioning
  frames are not repeated. Memory does not grow with the number of chunks.
  """

  def __call__(self, params, request: Request) -> Iterator[Clip]: ...


@runtime_checkable
class ChosenSampler(Sampler, Protocol):
  """A sampler that `rollout.how` can choose.

  Attributes:
    settings: names of the settings of `Rollout` that it reads.
  """

  settings: ClassVar[tuple[str, ...]]

  @classmethod
  def build(cls, rollout: Rollout, system) -> Sampler:
    """The sampler of `system` with the settings `rollout`.

    Raises:
      UserError: the model was not trained for it, or the settings do not fit the frames of the model.
    """
    ...


def parts_of(system) -> dict[str, Any]:
  """The fields of `system` that every sampler has."""
  return {"network": system.network, "process": system.diffusion.process, "senses": system.data.senses}


def refuse(request: Request, how: str, *, budget: bool = False, story: bool = False, script: bool = False):
  """Raises UserError if `request` asks for one of these, which that way of sampling cannot do."""
  if budget and request.most_steps is not None:
    raise UserError(f"how={how!r} has no budget: leave budget_cents out.")
  if story and request.story:
    raise UserError(f"how={how!r} tells no stories: set how to 'causal' or 'all_frames'.")
  if script and any(turns(prompt) for prompt in request.prompts):
    raise UserError(f"how={how!r} follows no script here: give one prompt per movie.")
