"""Video data sets in the format of TensorFlow Datasets, read from a folder, without TensorFlow."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from stale_jax.construct import nearest
from stale_jax.data.buckets import Window
from stale_jax.data.content import content_hashes
from stale_jax.data.decode.container import File
from stale_jax.data.decode.picture import resize
from stale_jax.data.metadata import Described
from stale_jax.data.source import Spread, in_threads
from stale_jax.data.sources.videos import Videos
from stale_jax.data.storage import list_files, on_disk, versions
from stale_jax.errors import UserError
from stale_jax.fields import number


def open_data(path: str, split: str):
  """Opens one split of the data set in the folder `path`, or at an address, of which it makes a copy.

  Returns:
    The features of the data set, and a random-access sequence of its examples.

  Raises:
    UserError: `path` is not a data set, it has no such split, or its files are not ArrayRecord.
  """
  import tensorflow_datasets as tfds

  # ArrayRecord reads only files on a disk.
  local = on_disk(path)
  if not (Path(local) / "dataset_info.json").is_file():
    raise UserError(f"source.path={path!r} is not a data set: there is no dataset_info.json in it.")
  try:
    builder = tfds.builder_from_directory(local)
    if split not in builder.info.splits:
      raise UserError(f"{path} has no split {split!r}: {nearest(split, builder.info.splits)}")
    return builder.info.features, builder.as_data_source(split)
  except (NotImplementedError, ValueError, OSError) as error:
    raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def content_of(path: str, spread: Spread) -> str:
  """Identifies the content of a data set: a hash of its files' names and of their content.

  Raises:
    UserError: a file cannot be read.
  """
  [names] = spread(lambda _: list_files(path), 1)
  each = [
    f"{name.removeprefix(path)} {hashed}"
    for name, hashed in zip(names, content_hashes(path, names, spread), strict=True)
  ]
  return hashlib.sha256("\n".join(each).encode(errors="surrogatepass")).hexdigest()


def manifest_of(path: str, spread: Spread) -> dict[str, str]:
  """`Source.manifest` of the data set in the folder `path`, or at an address."""
  [found] = spread(lambda _: versions(path), 1)
  return {name.removeprefix(path).strip("/"): version for name, version in found.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tfds(Videos):
  """The videos of a data set. `Videos` documents the other settings.

  A video is the bytes of a file, or uint8 pixels [frames, height, width, 3], which have no sound and whose
  frame rate the data set does not state.

  Attributes:
    path: the folder of the data set, DATA_DIR/NAME/[CONFIG/]VERSION, or its address; its files are
      ArrayRecord.
    video: name of the feature with the video.
    caption: name of the feature with the caption; if "", the caption is the name of the class.
    label: name of the feature with the class, which is also the name of the label; "" for no label.
    recorded_rate: frames per second of videos that are stored as pixels.
  """

  path: str
  video: str = "video"
  caption: str = ""
  label: str = ""
  recorded_rate: float = number(25.0, least=0.001, most=10_000)

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of the label, by its name."""
    return {self.label: len(self._names)} if self.label else {}

  def count(self) -> int:
    """The number of examples in the split."""
    return len(self._data[1])

  def content(self, spread: Spread = in_threads) -> str:
    """See `Source`."""
    return content_of(self.path, spread)

  def manifest(self, spread: Spread = in_threads) -> dict[str, str]:
    """See `Source`."""
    return manifest_of(self.path, spread)

  def find(self, which: int) -> tuple[File | np.ndarray, Described]:
    """The video and metadata of the example at `which` in the split. The only hashtag is the class name.

    Raises:
      UserError: the video is neither bytes nor uint8 pixels [frames, height, width, 3].
    """
    example = self._data[1][which]
    name = self._names[int(example[self.label])] if self.label else ""
    caption = example[self.caption] if self.caption else name
    caption = caption.decode(errors="replace") if isinstance(caption, bytes) else str(caption)
    video = example[self.video]
    video = video if isinstance(video, bytes) else np.asarray(video)
    if isinstance(video, np.ndarray) and (video.dtype != np.uint8 or video.shape[3:] != (3,)):
      raise UserError(
        f"{self.path}: the feature {self.video!r} is {video.dtype} {video.shape}; "
        "a video is bytes or uint8 [frames, height, width, 3]."
      )
    return video, Described(caption=caption, hashtags=(name,) if name else (), source_id=str(which))

  def classes(self, described: Described) -> dict[str, int]:
    """The class of an example, by the name of the label."""
    return {self.label: self._names.index(described.hashtags[0])} if self.label else {}

  def seconds(self, file: File | np.ndarray) -> float:
    """The duration of `file` in seconds. Raises Unreadable."""
    return len(file) / self.recorded_rate if isinstance(file, np.ndarray) else super().seconds(file)

  def measure(self, which: int) -> tuple[int, int, float]:
    """(width, height, seconds) of the example at `which`. Raises Unreadable."""
    file, _ = self.find(which)
    if not isinstance(file, np.ndarray):
      return super().measure(which)
    return file.shape[2], file.shape[1], self.seconds(file)

  def cut(self, file: File | np.ndarray, window: Window) -> dict[str, np.ndarray]:
    """The clip in `window`, sense -> [frames, *shape]. Raises Unreadable."""
    if not isinstance(file, np.ndarray):
      return super().cut(file, window)
    return {"sight": self.pictures(file, window)}

  def pictures(self, file: File | np.ndarray, window: Window) -> UInt8[np.ndarray, "frames height width 3"]:
    """The pictures in `window`. Raises Unreadable."""
    if not isinstance(file, np.ndarray):
      return super().pictures(file, window)
    shown = np.minimum((window.times * self.recorded_rate + 1e-6).astype(int), len(file) - 1)
    return resize(file[shown], *window.size[1:])

  @functools.cached_property
  def _data(self):
    features, data = open_data(self.path, self.split)
    for name in (self.video, self.caption, self.label):
      if name and name not in features:
        raise UserError(f"{self.path} has no feature {name!r}: {nearest(name, features)}")
    return features, data

  @functools.cached_property
  def _names(self) -> list[str]:
    """The names of the classes."""
    names = getattr(self._data[0][self.label], "names", None)
    if not names:
      raise UserError(
        f"source.label={self.label!r} is not a feature of named classes (ClassLabel) in {self.path}."
      )
    return list(names)
