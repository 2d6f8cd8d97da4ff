"""What a source of clips is: random access to examples, and a few facts about them."""

import abc
import dataclasses
import re
from typing import Any, ClassVar

from stale_jax.clip import Clip, Sense
from stale_jax.data.buckets import Bucket
from stale_jax.errors import UserError


class Source(abc.ABC):
  """Random access to examples; each is deterministic in the settings of the source and its index.

  An implementation is a frozen dataclass. It states `frames`, `senses`, `__len__` and `__getitem__`; every
  other member has a default, that of one drawn clip size, without labels and without a codec.

  An example is a dictionary:
    clip: sense -> array [frames, *shape] in [-1, 1]; senses may be missing.
    caption: a string.
    labels: name -> class, or a list of classes. A missing name is an unknown label.
    fps: frames per second of the clip, where they differ from example to example.
    index: that of the example.

  Attributes:
    frames: of a clip.
    kind: what a program can read from the clips: "digits", as `evaluation.reader` does; "trajectories" of a
      known law (`DynamicalSystem`); "" nothing.
    has_test_split: whether there is a field `split`, "train" or "test".
    has_seed: whether clips are drawn by a field `seed`. Those of other sources are stored.
    sizes: (frames, height, width) of the clips if there are several sizes. Indices are cut into as many
      ranges of equal length, one for each size.
  """

  frames: int
  kind: ClassVar[str] = ""
  has_test_split: ClassVar[bool] = True
  has_seed: ClassVar[bool] = True
  sizes: tuple[Bucket, ...] = ()

  @property
  @abc.abstractmethod
  def senses(self) -> dict[str, Sense]:
    """All senses that examples can have, by name."""

  @abc.abstractmethod
  def __len__(self) -> int:
    """The number of examples."""

  @abc.abstractmethod
  def __getitem__(self, index: int) -> dict[str, Any]:
    """The example at `index`."""

  def stored(self, index: int) -> dict[str, Any]:
    """The example at `index`; sight may be bytes (see `clip.floats`), which batches keep as they are."""
    return self[index]

  def caption(self, index: int) -> str:
    """The caption of the example at `index`; where reading a clip is costly, without reading the clip."""
    return self.stored(index)["caption"]

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    return {}

  @property
  def shares(self) -> tuple[float, ...]:
    """The share of the batches that each of `sizes` has. May read data; raises UserError if there is none."""
    return (1.0,)

  @property
  def largest(self) -> "Source":
    """The same source with clips of its largest size only, for planning."""
    return self

  @property
  def fingerprint(self) -> dict[str, Any]:
    """JSON that identifies the examples of all splits: the kind of source, and what is not at its default."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
    fields = {f.name: f for f in dataclasses.fields(self) if f.name not in ("split", "takedown")}
    values = {name: value for name, value in vars(self).items() if name in fields}
    return {"name": kind, **{name: x for name, x in values.items() if x != fields[name].default}}

  @property
  def taken_down(self) -> frozenset[str]:
    """Names of clips that are not to be used any more."""
    return frozenset()

  def test_split(self, seed: int | None = None) -> "Source":
    """The clips held out for testing; a `seed` draws others, where clips are drawn.

    Raises:
      UserError: nothing is held out.
    """
    if not self.has_test_split:
      raise UserError(f"the source {type(self).__name__} holds no clips out for testing.")
    seeded = {} if seed is None or not self.has_seed else {"seed": seed}
    return dataclasses.replace(self, split="test", **seeded)

  @property
  def pixels(self) -> "Source":
    """The source before encoding by a codec, if there is one."""
    return self

  def length(self, frames: int) -> int:
    """The number of frames that, decoded, are at least `frames` frames."""
    return frames

  def encode(self, clip: Clip) -> Clip:
    """From clips of `pixels`, sense -> [batch, frames, *shape], to clips as examples have them."""
    return clip

  def decode(self, clip: Clip) -> Clip:
    """The inverse of `encode`."""
    return clip


class DynamicalSystem(Source):
  """A source of trajectories with a known law, which the suite `dynamics` compares generated ones with.

  Clips have one sense, a vector for each frame.
  """

  kind: ClassVar[str] = "trajectories"

  @abc.abstractmethod
  def advance(self, state):
    """The law: the state [*batch, values], in [-1, 1], one frame later."""

  @abc.abstractmethod
  def read(self, clip: Clip) -> dict[str, Any]:
    """The labels that a caption would state for the clips [n, frames, values]: label -> [n] indices."""
