"""A movie: one generated clip, with its senses, prompt, seed and settings."""

import dataclasses
import functools
import re
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stale_jax.clip import Clip, Sense
from stale_jax.files import AnyPath
from stale_jax.media import movie_html, save_movie
from stale_jax.sampling import Rollout, Sampling

# Setting -> its default, for the settings that `Movie.facts` leaves out if they are at their default.
_DEFAULTS = {
  field.name: field.default
  for settings in (Sampling, Rollout)
  for field in dataclasses.fields(settings)
  if field.name not in ("solver", "steps", "guidance")
}


@dataclasses.dataclass(frozen=True)
class Movie:
  """One generated clip.

  Attributes:
    clip: sense -> [frames, *sense.shape], in [-1, 1].
    senses: descriptions of the senses.
    prompt: the caption, or the script as text.
    seed: seed of the noise.
    how: the model and the settings of the sampler.
  """

  clip: dict[str, np.ndarray]
  senses: tuple[Sense, ...]
  prompt: str
  seed: int
  how: dict[str, Any]

  @functools.cached_property
  def stem(self) -> str:
    """File name without suffix, from prompt and seed; different prompts have different names."""
    words = "-".join(re.findall(r"\w+", self.prompt.lower()))[:60].strip("-")
    if not words or words.replace("-", " ") != self.prompt:  # The words alone would be ambiguous.
      words = f"{words or 'movie'}-{zlib.crc32(self.prompt.encode()):08x}"
    return f"{words}-{self.seed}"

  @property
  def facts(self) -> str:
    """Seed and settings as one line, for the page of movies; the JSON beside a movie has all of them."""
    told = {
      name: value for name, value in self.how.items() if value != _DEFAULTS.get(name, dataclasses.MISSING)
    }
    return ", ".join(f"{name} {value}" for name, value in {"seed": self.seed, **told}.items())

  @property
  def seconds(self) -> float:
    """Duration of the movie."""
    name, values = next(iter(self.clip.items()))
    return len(values) / self.described()[name].rate

  def described(self) -> dict[str, Sense]:
    """The senses of the clip, by name."""
    return {sense.name: sense for sense in self.senses if sense.name in self.clip}

  def save(self, folder: str | AnyPath, codec: str = "h264") -> AnyPath | None:
    """Writes video, effects and arrays to `folder`; returns the video's path (see `media.save_movie`)."""
    info = {"prompt": self.prompt, "seed": self.seed, **self.how}
    return save_movie(folder, self.stem, self.clip, self.described(), info, codec)

  def page_entry(self, video: AnyPath | None) -> tuple:
    """The arguments of `media.movie_html` for this movie; `video` is the result of `save`."""
    return self.clip, self.described(), self.prompt, self.facts, video

  def _repr_html_(self) -> str:
    with tempfile.TemporaryDirectory() as folder:
      return movie_html(*self.page_entry(self.save(folder)))


def movies_of(
  clips: Clip,
  senses: tuple[Sense, ...],
  prompts: Sequence[str],
  seeds: Sequence[int],
  how: Mapping[str, Any],
  facts: Sequence[Mapping[str, Any]],
) -> list[Movie]:
  """One movie per row of `clips`.

  Args:
    clips: sense -> [movies, frames, *shape].
    senses: senses of the clips.
    prompts, seeds: one per movie.
    how: the model and the settings that all movies share.
    facts: further settings of each movie; `fps` replaces the frame rate of its senses.
  """
  return [
    Movie(
      clip={name: np.asarray(x[i]) for name, x in clips.items()},
      senses=tuple(dataclasses.replace(sense, rate=facts[i].get("fps", sense.rate)) for sense in senses),
      prompt=prompts[i],
      seed=seeds[i],
      how={**how, **facts[i]},
    )
    for i in range(len(prompts))
  ]
