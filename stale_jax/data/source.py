"""The interface of a data source: random access to examples, and their senses, labels and sizes."""

import abc
import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from stale_jax.clip import Clip, Sense
from stale_jax.data.buckets import Bucket
from stale_jax.errors import UserError

# (f, count) -> [f(0), ..., f(count - 1)]. The calls may run in several threads or processes.
Spread = Callable[[Callable[[int], Any], int], list[Any]]


def in_threads(function: Callable[[int], Any], count: int) -> list[Any]:
  """[function(0), ..., function(count - 1)], computed by several threads."""
  with ThreadPoolExecutor(max(8, os.cpu_count() or 1)) as pool:
    return list(pool.map(function, range(count)))


class Source(abc.ABC):
  """Random access to examples. An example depends only on the settings of the source and on its index.

  An implementation is a frozen dataclass. It must define `frames`, `senses`, `__len__` and `__getitem__`.
  The defaults of the other members describe a source with one clip size, no labels and no codec.

  An example is a dictionary:
    clip: sense -> array [frames, *shape] in [-1, 1]. A sense that the example lacks is absent.
    caption: a string.
    labels: name -> class, or a list of classes. The label of an absent name is unknown.
    fps: frames per second of the clip, if it differs between examples.
    index: the index of the example.

  Attributes:
    frames: the number of frames of a clip.
    kind: selects the evaluation that can parse the clips: "digits" (`evaluation.reader`), "cartoons",
      "trajectories" of a known dynamical system (`DynamicalSystem`), or "" for none.
    has_test_split: whether the source has a field `split`, "train" or "test".
    has_seed: whether the source has a field `seed`, with which clips are drawn at random.
    sizes: (frames, height, width) of each clip size, if there are several. The indices are divided into
      consecutive ranges of equal length, one for each size.
  """

  frames: int
  kind: ClassVar[str] = ""
  has_test_split: ClassVar[bool] = True
  has_seed: ClassVar[bool] = True
  sizes: tuple[Bucket, ...] = ()

  @property
  @abc.abstractmethod
  def senses(self) -> dict[str, Sense]:
    """The senses that examples can have, by name."""

  @abc.abstractmethod
  def __len__(self) -> int:
    """The number of examples."""

  @abc.abstractmethod
  def __getitem__(self, index: int) -> dict[str, Any]:
    """The example at `index`."""

  def stored(self, index: int) -> dict[str, Any]:
    """The example at `index`, in which sight may be uint8 (see `clip.floats`); batches keep the dtype."""
    return self[index]

  def caption(self, index: int) -> str:
    """The caption of the example at `index`. Sources whose clips are slow to read do not read the clip."""
    return self.stored(index)["caption"]

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    return {}

  @property
  def shares(self) -> tuple[float, ...]:
    """The fraction of the batches that each of `sizes` receives. May read data.

    Raises:
      UserError: the source has no usable examples.
    """
    return (1.0,)

  @property
  def largest(self) -> "Source":
    """The same source with only its largest clip size; used to plan memory and time."""
    return self

  @property
  def fingerprint(self) -> dict[str, Any]:
    """Identifies the examples of all splits: the source's name, and its settings that are not the default.

    The settings `split` and `takedown` are left out.
    """
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
    fields = {f.name: f for f in dataclasses.fields(self) if f.name not in ("split", "takedown")}
    values = {name: value for name, value in vars(self).items() if name in fields}
    return {"name": kind, **{name: x for name, x in values.items() if x != fields[name].default}}

  @property
  def taken_down(self) -> frozenset[str]:
    """Identifiers of clips that must no longer be used: source_id, URL or uploader (see `Described`)."""
    return frozenset()

  def test_split(self, seed: int | None = None) -> "Source":
    """The source of the test split.

    Args:
      seed: replaces the field `seed` if the source has one; None keeps it.

    Raises:
      UserError: the source has no test split.
    """
    if not self.has_test_split:
      raise UserError(f"the source {type(self).__name__} has no test split; use a source that has one.")
    seeded = {} if seed is None or not self.has_seed else {"seed": seed}
    # Kept, so that a folder is not scanned again by each evaluation within training.
    kept = vars(self).setdefault("_test_splits", {})
    if seed not in kept:
      kept[seed] = dataclasses.replace(self, split="test", **seeded)
    return kept[seed]

  def prepare(self, spread: Spread = in_threads) -> None:  # noqa: B027
    """Does what must be done once before examples are read, such as listing files or encoding clips.

    It is done when the first example is read, if not before. All processes of a run call this, so that they
    share the work, and it must be called before worker processes read examples.

    Args:
      spread: runs functions for many indices; `hosts.spread` runs them in all processes of a run.

    Raises:
      UserError: the data cannot be read.
    """

  def content(self, spread: Spread = in_threads) -> str:
    """A hash that changes when the files behind the examples do; "" if they depend on settings alone.

    Args:
      spread: as for `prepare`.

    Raises:
      UserError: the data cannot be read.
    """
    return ""

  def manifest(self, spread: Spread = in_threads) -> dict[str, str]:
    """The files from which the examples are made, to find out what has changed since a run began.

    Unlike `content`, it is fast, because no video is read. A file that was replaced by one of the same size
    and the same time of modification is not noticed.

    Args:
      spread: as for `prepare`.

    Returns:
      Name of a file, relative to the source's folder -> a hash of its version and its metadata; empty if the
      examples depend on settings alone. Takedowns do not change it.

    Raises:
      UserError: the data cannot be read.
    """
    return {}

  def captions(self) -> Sequence[str]:
    """Captions of the split, for the training log: all, a sample if reading all is slow, or () for none.

    Raises:
      UserError: the data cannot be read.
    """
    return ()

  @property
  def pixels(self) -> "Source":
    """The source of the clips before encoding; the source itself if it has no codec."""
    return self

  def length(self, frames: int) -> int:
    """The smallest number of frames of this source that decode to at least `frames` frames of `pixels`."""
    return frames

  def encode(self, clip: Clip) -> Clip:
    """Encodes clips of `pixels`, sense -> [batch, frames, *shape], to clips of this source."""
    return clip

  def decode(self, clip: Clip) -> Clip:
    """Decodes clips of this source to clips of `pixels`; the inverse of `encode`, up to the codec's error."""
    return clip


class DynamicalSystem(Source):
  """A source of trajectories of a known dynamical system.

  The evaluation suite `dynamics` measures how well generated trajectories obey the system. Clips have one
  sense, whose frames are vectors.
  """

  kind: ClassVar[str] = "trajectories"

  @abc.abstractmethod
  def advance(self, state):
    """Advances the state [*batch, values], in [-1, 1], by one frame."""

  @abc.abstractmethod
  def read(self, clip: Clip) -> dict[str, Any]:
    """Computes, from the trajectories of clips, the labels that their captions state.

    Args:
      clip: name of the sense -> trajectories [n, frames, values], in [-1, 1].

    Returns:
      Label -> class of each clip, an index, [n].
    """
