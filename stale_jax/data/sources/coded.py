"""A source of latents: the clips of another source, with sight encoded by a trained autoencoder.

Diffusion then runs in the latent space of the autoencoder (Rombach et al., arXiv 2112.10752). Latent
diffusion models scale latents to the unit variance of their Gaussian prior. Here each channel is shifted and
scaled to [-1, 1], the range of the uniform prior. The smallest and the largest thousandth of the values of a
channel exceed this range and are clipped. The map is affine: mapping by rank (histogram equalisation) would
spread the small changes of a background over the whole range. Senses other than sight have few values per
frame, so they are not encoded: the values of all frames that share one latent frame are concatenated.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from flax.serialization import msgpack_restore, msgpack_serialize
from jaxtyping import Float

from stale_jax.clip import Clip, Sense
from stale_jax.data.codec import Codec
from stale_jax.data.source import Source, Spread, in_threads
from stale_jax.data.sources.check import SPLITS
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.files import check_on_disk, make_folder, write_whole
from stale_jax.models.autoencoder import lengthen

_BATCH = 32
_CHUNK = 256  # Clips in a file of the cache.
_ENCODING = threading.Lock()  # One file at a time; the clips of a file are read by several threads.
# Number of clips on which the range of the latents is measured, and the fraction of the latents that may lie
# below the range, and above it.
_MEASURED, _BEYOND = 256, 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodedSource(Source):
  """Random access to encoded clips.

  The first `size` clips are encoded once, when the first example is read, and stored in the folder `cache`,
  in files of 256 clips. Processes that share the folder share the work. The names of the files depend on the
  parameters of the autoencoder, on the settings of the source and on its data (`Source.content`). The range
  of each latent channel (`box`) is measured on the first training clips, is used for both splits, and is
  stored in the same folder.

  Attributes:
    source: the source whose clips are encoded.
    codec: encodes and decodes sight.
    cache: folder of the encoded clips and of the range of the latents. If the stored range is missing, it is
      measured again, also for a trained model.
    size: number of clips that are encoded.
    split: split of `source`, "train" or "test".
    patch: height and width of a token, in latent pixels.

  Raises:
    UserError: `patch` does not divide the height and width of the latents.
  """

  has_seed: ClassVar[bool] = False
  source: Source
  codec: Codec
  cache: str = "runs/latents"
  size: int = number(4096, least=1)
  split: str = choice("train", SPLITS)
  patch: int = number(1, least=1)

  def __post_init__(self):
    check_fields(self, "source")
    check_on_disk("source.", cache=self.cache)
    if self._shape[1] % self.patch or self._shape[2] % self.patch:
      raise UserError(
        f"source.patch={self.patch} must divide height and width of the latents, {self._shape[1:3]}."
      )

  @functools.cached_property
  def pixels(self) -> Source:
    """The source of the clips before encoding."""
    return dataclasses.replace(self.source, split=self.split)

  @property
  def _shape(self) -> tuple[int, ...]:
    return self.codec.latent_shape(self.source.frames, self.source.senses["sight"].shape)

  @property
  def frames(self) -> int:
    """The number of latent frames of a clip."""
    return self._shape[0]

  def length(self, frames: int) -> int:
    """The smallest number of latent frames that decode to at least `frames` frames."""
    return self.codec.length(frames)

  @property
  def labels(self) -> dict[str, int]:
    """The labels of `source`."""
    return self.pixels.labels

  @functools.cached_property
  def senses(self) -> dict[str, Sense]:
    """The senses of `source` after encoding, without those (except sight) whose frames are not vectors."""
    time, out = self.codec.time, {}
    for name, sense in self.source.senses.items():
      rate = sense.rate / time
      if name == "sight":
        shape, patch = self._shape[1:], (1, self.patch, self.patch)
        channels = tuple(f"latent_{i}" for i in range(shape[-1]))
      elif len(sense.shape) > 1:
        continue
      else:
        channels = tuple(f"{channel}/{i}" for i in range(time) for channel in sense.channels)
        shape, patch = (len(channels),), (1,)
      out[name] = Sense(name=name, shape=shape, rate=rate, patch=patch, channels=channels)
    return out

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example of `source` at `index`, with an encoded clip."""
    example = msgpack_restore(self._records[int(index)])
    return {**example, "clip": {name: x.astype(np.float32) for name, x in example["clip"].items()}}

  def encode(self, clip: Clip) -> Clip:
    """Encodes clips of `source`, sense -> [batch, frames, *shape].

    Returns:
      Sense -> [batch, latent frames, *shape of the sense in `senses`], in [-1, 1].
    """
    time, out = self.codec.time, {}
    for name, x in clip.items():
      if name == "sight":
        low, high = self.box
        out[name] = np.clip((2 * self.codec.encode(x) - low - high) / (high - low), -1, 1)
      elif name in self.senses:
        x = np.asarray(lengthen(x, time))
        out[name] = x.reshape(len(x), x.shape[1] // time, -1)
    return out

  def decode(self, clip: Clip) -> Clip:
    """The inverse of `encode`, up to clipping and the reconstruction error of the autoencoder."""
    time, out = self.codec.time, {}
    for name, x in clip.items():
      if name == "sight":
        low, high = self.box
        out[name] = self.codec.decode((np.clip(x, -1, 1) * (high - low) + low + high) / 2)
      else:
        x = np.asarray(x)
        out[name] = x.reshape(len(x), x.shape[1] * time, -1)[:, time - 1 :]
    return out

  @functools.cached_property
  def box(self) -> Float[np.ndarray, "2 channels"]:
    """(low, high) of each latent channel: its .001 and .999 quantiles on the first 256 training clips."""
    # The fingerprint is without takedowns, so that a later takedown does not change a trained model's range.
    path = make_folder(self.cache) / f"{self._name(self.source.fingerprint)}.json"
    with _locked(Path(f"{path}.lock")):
      if not path.exists():
        source = self.pixels if self.split == "train" else dataclasses.replace(self.pixels, split="train")
        clips = (source[i]["clip"] for i in range(min(_MEASURED, len(source))))
        latents = [self.codec.encode(clip["sight"][None]) for clip in clips if "sight" in clip]
        low, high = np.quantile(np.concatenate(latents), (_BEYOND, 1 - _BEYOND), axis=(0, 1, 2, 3))
        # A constant channel has a range of 0, by which `encode` would divide.
        write_whole(path, json.dumps([low.tolist(), np.maximum(high, low + 1e-3).tolist()]))
      return np.array(json.loads(path.read_text()), np.float32)

  def prepare(self, spread: Spread = in_threads) -> None:
    """See `Source`: encodes the clips that are not in the cache."""
    self.pixels.prepare(spread)
    if "_records" not in vars(self):
      vars(self)["_records"] = self._encoded(spread)

  def manifest(self, spread: Spread = in_threads) -> dict[str, str]:
    """See `Source`: the files of `source`, and the autoencoder."""
    return {**self.pixels.manifest(spread), "the autoencoder": self._name()}

  def captions(self) -> Sequence[str]:
    """See `Source`."""
    return self.pixels.captions()

  @functools.cached_property
  def _records(self):
    return self._encoded(in_threads)

  def _encoded(self, spread: Spread):
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    pixels = self.pixels
    facts = (self.split, self.size, self.box.tolist(), sorted(pixels.taken_down), pixels.content(spread))
    name = self._name(self.source.fingerprint, *facts)
    count = -(-self.size // _CHUNK)
    folder = make_folder(self.cache)
    paths = [Path(folder / f"{name}-{k:05}-of-{count:05}.array_record") for k in range(count)]
    if not all(path.exists() for path in paths):
      print(f"encoding {self.size} clips into {folder / name}-*.array_record.", flush=True)
    spread(lambda k: self._write(paths[k], k * _CHUNK), count)
    for k, path in enumerate(paths):  # Those of processes that do not share the folder.
      self._write(path, k * _CHUNK)
    return ArrayRecordDataSource([str(path) for path in paths])

  def _name(self, *facts) -> str:
    """The name of a cache file: a hash of `facts` and the codec, which together determine its content."""
    return self.codec.digest(json.dumps(facts, sort_keys=True).encode())

  def _write(self, path: Path, first: int) -> None:
    """Encodes the clips from `first` on into the file `path`, unless it exists."""
    if path.exists():
      return
    with _ENCODING, _locked(Path(f"{path}.lock")):
      if not path.exists():
        self._encode_into(path, range(first, min(first + _CHUNK, self.size)))

  def _encode_into(self, path: Path, indices: range) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    partial = path.with_name(path.name + ".partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1")
    for start in range(0, len(indices), _BATCH):
      some = indices[start : start + _BATCH]
      examples = in_threads(lambda k, some=some: self.pixels[some[k]], len(some))
      coded: list[Clip] = [{} for _ in examples]
      for name in self.senses:
        # Clips may lack a sense.
        rows = [row for row, example in enumerate(examples) if name in example["clip"]]
        if rows:
          x = self.encode({name: np.stack([examples[row]["clip"][name] for row in rows])})[name]
          for row, values in zip(rows, x, strict=True):
            coded[row][name] = values.astype(np.float16)
      for example, clip in zip(examples, coded, strict=True):
        writer.write(msgpack_serialize({**example, "clip": clip}))
    writer.close()
    partial.rename(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
  """Holds an exclusive lock on the file `path`, which is deleted at the end; other processes wait for it."""
  while True:
    with path.open("w") as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      if not _is_at(file, path):  # The process that held the lock has deleted the file.
        continue
      try:
        yield
      finally:
        path.unlink(missing_ok=True)
      return


def _is_at(file: IO, path: Path) -> bool:
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False
