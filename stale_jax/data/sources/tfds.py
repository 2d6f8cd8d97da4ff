"""Any video data set of TensorFlow Datasets, from its folder, without TensorFlow."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from stale_jax.construct import nearest
from stale_jax.data.buckets import Window
from stale_jax.data.decode.container import File
from stale_jax.data.decode.picture import resize
from stale_jax.data.metadata import Described
from stale_jax.data.sources.videos import Videos
from stale_jax.errors import UserError
from stale_jax.fields import number


def open_data(path: str, split: str):
  """(features, random access to the examples of `split`) of the data set whose folder is `path`.

  Raises:
    UserError: there is none, it has no such split, or its files are not ArrayRecord.
  """
  import tensorflow_datasets as tfds

  if not (Path(path) / "dataset_info.json").is_file():
    raise UserError(f"source.path={path!r} is no data set: there is no dataset_info.json in it.")
  try:
    builder = tfds.builder_from_directory(path)
    if split not in builder.info.splits:
      raise UserError(f"{path} has no split {split!r}: {nearest(split, builder.info.splits)}")
    return builder.info.features, builder.as_data_source(split)
  except (NotImplementedError, ValueError, OSError) as error:
    raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tfds(Videos):
  """The examples of a data set. See `Videos` for what is common to such sources.

  A video is the bytes of a file, or pixels [frames, height, width, 3] at a rate that is not written
  beside them; those have no sound.

  Attributes:
    path: the folder of the data set, DATA_DIR/NAME/[CONFIG/]VERSION; its files are ArrayRecord.
    video: which of its features is the video.
    caption: which is its text; without one, a caption is the name of the class.
    label: which is its class, and a label of that name; without one, there is no label.
    recorded_rate: frames a second of pixels.
  """

  path: str
  video: str = "video"
  caption: str = ""
  label: str = ""
  recorded_rate: float = number(25.0, above=0)

  @property
  def labels(self) -> dict[str, int]:
    """How many classes the label has, by name."""
    return {self.label: len(self._names)} if self.label else {}

  def count(self) -> int:
    """How many examples there are."""
    return len(self._data[1])

  def find(self, which: int) -> tuple[File | np.ndarray, Described]:
    """Example number `which` of the split; its class is a hashtag."""
    example = self._data[1][which]
    name = self._names[int(example[self.label])] if self.label else ""
    caption = example[self.caption] if self.caption else name
    caption = caption.decode(errors="replace") if isinstance(caption, bytes) else str(caption)
    video = example[self.video]
    video = video if isinstance(video, bytes) else np.asarray(video)
    if isinstance(video, np.ndarray) and (video.dtype != np.uint8 or video.shape[3:] != (3,)):
      raise UserError(f"{self.path}: {self.video} is {video.dtype} {video.shape}, not the pixels of a video.")
    return video, Described(caption=caption, hashtags=(name,) if name else (), source_id=str(which))

  def classes(self, described: Described) -> dict[str, int]:
    """Its class."""
    return {self.label: self._names.index(described.hashtags[0])} if self.label else {}

  def seconds(self, file: File | np.ndarray) -> float:
    """How long it is. Raises Unreadable."""
    return len(file) / self.recorded_rate if isinstance(file, np.ndarray) else super().seconds(file)

  def measure(self, which: int) -> tuple[int, int, float]:
    """Width, height and seconds of example number `which`. Raises Unreadable."""
    file, _ = self.find(which)
    if not isinstance(file, np.ndarray):
      return super().measure(which)
    return file.shape[2], file.shape[1], self.seconds(file)

  def cut(self, file: File | np.ndarray, window: Window) -> dict[str, np.ndarray]:
    """The clip in that window. Raises Unreadable."""
    if not isinstance(file, np.ndarray):
      return super().cut(file, window)
    return {"sight": self.pictures(file, window)}

  def pictures(self, file: File | np.ndarray, window: Window) -> UInt8[np.ndarray, "frames height width 3"]:
    """What is seen of it. Raises Unreadable."""
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
    """Of the classes."""
    names = getattr(self._data[0][self.label], "names", None)
    if not names:
      raise UserError(f"source.label={self.label!r} is no class in {self.path}.")
    return list(names)
