"""A source of captioned cartoon clips, drawn from their index."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from stale_jax.clip import Clip, Sense, floats
from stale_jax.data.source import Source
from stale_jax.data.sources.cartoons.caption import caption
from stale_jax.data.sources.cartoons.film import film
from stale_jax.data.sources.cartoons.labels import COMBINATIONS, LABELS, Labels, World
from stale_jax.data.sources.cartoons.pen import UNITS
from stale_jax.data.sources.cartoons.senses import CHANNELS, senses
from stale_jax.data.sources.cartoons.take import Take, draw_take
from stale_jax.data.sources.check import SPLITS, check_patch
from stale_jax.data.sources.drawn import drawn_senses
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cartoons(Source):
  """A source of labelled cartoon clips. A clip depends only on the settings and the index.

  The senses follow the rules in `senses`. Pixels may differ slightly between versions of OpenCV.

  Attributes:
    split: "train" or "test"; their clips are drawn independently.
    seed: seed of all random draws.
    size: number of clips. Each is drawn from its index, so any size is possible.
    height, width: size of the picture in pixels. A wider picture shows more of the scene, and the figures
      have the same height in it.
    frames: number of frames of a clip, a multiple of `patch`.
    rate: frames per second.
    patch: number of frames that one token covers, in every sense.
    spatial_patch: number of rows and of columns of a picture that one token covers.
    characters, actions, scenes: names of what clips may show; () for all. They do not change the classes of
      the labels.
    combinations: "seen" leaves out the combinations of character, action and scene, and of character and
      colour, that are held out (`labels.held_out`); "unseen" has only clips with one of them.

  Raises:
    UserError: a field is out of its range, a patch does not divide the size of the clip, or no combination is
      left.
  """

  kind: ClassVar[str] = "cartoons"
  split: str = choice("train", SPLITS)
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  height: int = number(64, least=16, most=2048)
  width: int = number(64, least=16, most=2048)
  frames: int = number(16, least=1, most=1 << 20)
  rate: float = number(8.0, least=0.001, most=10_000)
  patch: int = number(1, least=1)
  spatial_patch: int = number(8, least=1)
  characters: tuple[str, ...] = choice((), LABELS["character"])
  actions: tuple[str, ...] = choice((), LABELS["action"])
  scenes: tuple[str, ...] = choice((), LABELS["scene"])
  combinations: str = choice("seen", COMBINATIONS)

  def __post_init__(self):
    check_fields(self, "source")
    check_patch(self.frames, self.patch)
    if self.height % self.spatial_patch or self.width % self.spatial_patch:
      raise UserError(
        f"source.spatial_patch={self.spatial_patch} must divide source.height={self.height} and "
        f"source.width={self.width}."
      )
    self._world  # noqa: B018 - Checks the combinations.

  @functools.cached_property
  def _world(self) -> World:
    return World(self.characters, self.actions, self.scenes, self.combinations)

  @property
  def _half_width(self) -> float:
    """Half of the width of the picture, in units (see `pen`)."""
    return UNITS / 2 * self.width / min(self.height, self.width)

  @property
  def senses(self) -> dict[str, Sense]:
    """The senses that clips can have, by name."""
    size = self.height, self.width
    return drawn_senses(size, self.spatial_patch, CHANNELS, rate=self.rate, patch=self.patch)

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    return {factor: len(classes) for factor, classes in LABELS.items()}

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict[str, Any]:
    """The example at `index`: clip (sense -> [frames, *shape]), caption, labels, index."""
    example = self.stored(index)
    return {**example, "clip": floats(example["clip"])}

  def stored(self, index: int) -> dict[str, Any]:
    """The example at `index`, with sight in bytes."""
    labels, words, take = self.draw(index)
    return {"clip": self.show(take), "caption": words, "labels": labels, "index": int(index)}

  def show(self, take: Take) -> Clip:
    """The clip of a take, with sight in bytes."""
    return {
      "sight": film(take, self.height, self.width, self.frames, self.rate),
      **senses(take, self.frames, self.rate, self._half_width),
    }

  def caption(self, index: int) -> str:
    """The caption of the example at `index`, which is not drawn."""
    return self.draw(index)[1]

  def draw(self, index: int) -> tuple[Labels, str, Take]:
    """The labels and the caption of the example at `index`, and what else is decided before it is drawn."""
    key = [self.seed, len(SPLITS) * int(index) + SPLITS.index(self.split)]
    rng = np.random.Generator(np.random.Philox(key=key))
    labels = self._world.draw(rng)
    words = caption(labels, rng)
    return labels, words, self.take(labels, rng)

  def take(self, labels: Labels, rng: np.random.Generator) -> Take:
    """Draws a take of all labels, for a clip of this source."""
    return draw_take(rng, labels, self._half_width, self.frames / self.rate)
