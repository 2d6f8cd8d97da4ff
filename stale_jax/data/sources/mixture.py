"""A weighted mixture of sources, for example of videos, images and shards."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from stale_jax.clip import Clip, Sense
from stale_jax.data.buckets import Bucket
from stale_jax.data.source import Source, Spread, in_threads
from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixture(Source):
  """Batches come from one of several sources, in proportion to their weights.

  The index ranges of all sources (`Source.sizes`) become ranges of the mixture, of the length of the longest;
  a shorter range is repeated. So the loader mixes sources as it mixes clip sizes: exactly by weight, evenly
  spread, each source shuffled by itself, and resumable at the exact example.

  Attributes:
    parts: the sources.
    names: their names in the config, for messages.
    weights: share of the batches of each, relative to the others.

  Raises:
    UserError: the sources have different senses or labels of one name, or only some of them are latents.
  """

  parts: tuple[Source, ...]
  names: tuple[str, ...]
  weights: tuple[float, ...]

  def __post_init__(self):
    senses, labels = {}, {}
    for name, part in zip(self.names, self.parts, strict=True):
      for sense in part.senses.values():
        other, of = senses.setdefault(sense.name, (sense, name))
        if (sense.channels, sense.patch, sense.rate) != (other.channels, other.patch, other.rate):
          raise UserError(
            f"source.sources.{name} and .{of}: {sense.name} differs in its channels, patch or rate."
          )
      for label, classes in part.labels.items():
        other, of = labels.setdefault(label, (classes, name))
        if classes != other:
          raise UserError(
            f"source.sources.{name} and .{of}: the label {label} has {classes} and {other} classes."
          )
    if len({part.pixels is part for part in self.parts}) > 1:
      raise UserError("source.sources: either all sources are latents, or none.")

  @property
  def frames(self) -> int:
    """The number of frames of the longest clips."""
    return max(part.frames for part in self.parts)

  @property
  def kind(self) -> str:
    """See `Source`; "" if the sources are of several kinds."""
    kinds = {part.kind for part in self.parts}
    return kinds.pop() if len(kinds) == 1 else ""

  @property
  def has_test_split(self) -> bool:
    """Whether all sources have a test split."""
    return all(part.has_test_split for part in self.parts)

  @property
  def has_seed(self) -> bool:
    """Whether a source has a seed."""
    return any(part.has_seed for part in self.parts)

  @property
  def sizes(self) -> tuple[Bucket, ...]:
    """The clip sizes of the sources that have several; empty if none has."""
    return tuple(size for part in self.parts for size in part.sizes)

  @property
  def senses(self) -> dict[str, Sense]:
    """The senses of all sources; of several shapes of a sense, the largest."""
    found: dict[str, Sense] = {}
    for part in self.parts:
      for name, sense in part.senses.items():
        if name not in found or math.prod(sense.shape) > math.prod(found[name].shape):
          found[name] = sense
    return found

  @property
  def labels(self) -> dict[str, int]:
    """The labels of all sources."""
    return {name: classes for part in self.parts for name, classes in part.labels.items()}

  @property
  def shares(self) -> tuple[float, ...]:
    """The fraction of the batches that each range receives."""
    total = sum(self.weights)
    return tuple(
      weight / total * share
      for part, weight in zip(self.parts, self.weights, strict=True)
      for share in (part.shares if weight else (0.0,) * _ranges(part))
    )

  @property
  def largest(self) -> Source:
    """The source with the clips that have the most values, with its largest clip size."""

    def values(part: Source) -> int:
      return part.frames * sum(math.prod(sense.shape) for sense in part.senses.values())

    return max((part.largest for part in self.parts), key=values)

  @property
  def fingerprint(self) -> dict[str, Any]:
    """See `Source`. Weights are left out: they can change within a run."""
    return {"name": "mixture", "sources": [part.fingerprint for part in self.parts]}

  @property
  def taken_down(self) -> frozenset[str]:
    """The identifiers that any source takes down."""
    return frozenset().union(*(part.taken_down for part in self.parts))

  def __len__(self) -> int:
    return self._longest * sum(map(_ranges, self.parts))

  def __getitem__(self, index: int) -> dict[str, Any]:
    """The example at `index`."""
    part, local = self._at(index)
    return {**part[local], "index": index}

  def stored(self, index: int) -> dict[str, Any]:
    """See `Source`."""
    part, local = self._at(index)
    return {**part.stored(local), "index": index}

  def caption(self, index: int) -> str:
    """See `Source`."""
    part, local = self._at(index)
    return part.caption(local)

  def test_split(self, seed: int | None = None) -> "Mixture":
    """The mixture of the test splits of the sources."""
    return dataclasses.replace(self, parts=tuple(part.test_split(seed) for part in self.parts))

  @property
  def pixels(self) -> Source:
    """The mixture of the sources before encoding; the mixture itself if they have no codec."""
    parts = tuple(part.pixels for part in self.parts)
    return (
      self
      if all(a is b for a, b in zip(parts, self.parts, strict=True))
      else dataclasses.replace(self, parts=parts)
    )

  def prepare(self, spread: Spread = in_threads) -> None:
    """See `Source`."""
    for part in self.parts:
      part.prepare(spread)

  def manifest(self, spread: Spread = in_threads) -> dict[str, str]:
    """See `Source`."""
    return {
      f"{name}: {file}": version
      for name, part in zip(self.names, self.parts, strict=True)
      for file, version in part.manifest(spread).items()
    }

  def captions(self) -> Sequence[str]:
    """See `Source`."""
    return [caption for part in self.parts for caption in part.captions()]

  def length(self, frames: int) -> int:
    """See `Source`."""
    return self.parts[0].length(frames)

  def encode(self, clip: Clip) -> Clip:
    """See `Source`; by the codec of the first source."""
    return self.parts[0].encode(clip)

  def decode(self, clip: Clip) -> Clip:
    """See `Source`; by the codec of the first source."""
    return self.parts[0].decode(clip)

  @property
  def _longest(self) -> int:
    """The number of examples in the longest range of any source."""
    return max(len(part) // _ranges(part) for part in self.parts)

  def _at(self, index: int) -> tuple[Source, int]:
    """The source, and the index in it, of the example at `index`."""
    number, offset = divmod(index, self._longest)
    for part in self.parts:
      if number < _ranges(part):
        size = len(part) // _ranges(part)
        return part, number * size + offset % size
      number -= _ranges(part)
    raise IndexError(index)


def _ranges(part: Source) -> int:
  """The number of index ranges of a source."""
  return len(part.sizes) or 1
