"""A source of latents: another source's clips, their sight coded by a trained autoencoder, kept on disk.

Diffusion then runs in the autoencoder's space (Rombach et al., arXiv 2112.10752). Its latents lie in
[-1, 1] as all that diffuses here does, and are not scaled. The other senses are small: of each group of
frames that one latent stands for, their values lie side by side.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stale_jax.clip import Clip, Sense
from stale_jax.compilation import batches
from stale_jax.config import at_least
from stale_jax.data import build_source
from stale_jax.errors import UserError
from stale_jax.files import make_folder
from stale_jax.models import Autoencoder, build_autoencoder
from stale_jax.models.autoencoder import lengthen

_BATCH = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
  """Random access to coded clips.

  The first `size` clips are coded once, when the first is asked for, and kept in `cache` under a name that
  depends on the autoencoder's weights and on the source: another autoencoder has another file.

  Attributes:
    source: the section of the source whose clips are coded.
    autoencoder: a run's folder or a weights file.
    cache: folder of the coded clips.
    size: how many of the source's clips are coded.
    split: of the source.
    patch: latents of a side that one token covers.
  """

  source: Mapping[str, Any]
  autoencoder: str
  cache: str = "runs/latents"
  size: int = 4096
  split: str = "train"
  patch: int = 1

  def __post_init__(self):
    at_least(1, "source", size=self.size, patch=self.patch)
    if self._shape[1] % self.patch or self._shape[2] % self.patch:
      raise UserError(
        f"source.patch={self.patch} must divide the latents' {self._shape[1]}x{self._shape[2]}."
      )

  @functools.cached_property
  def pixels(self):
    """The source of the clips themselves."""
    return build_source({**self.source, "split": self.split})

  @functools.cached_property
  def _coder(self) -> tuple[Autoencoder, Any]:
    from stale_jax.training.checkpoint import model_at  # Which knows what is built, as this source is.

    params, config = model_at(self.autoencoder)
    if config.get("model", {}).get("name") != "autoencoder":
      raise UserError(f"source.autoencoder={self.autoencoder} is a model of another kind.")
    senses = tuple(self.pixels.senses.values())
    # Its judge is not asked.
    params = {"params": {k: v for k, v in params["params"].items() if k != "patches"}}
    return build_autoencoder(config["model"], senses, self.pixels.frames, False), params

  @property
  def _shape(self) -> tuple[int, ...]:
    return self._coder[0].latent_shape(self.pixels.frames, self.pixels.senses["sight"].shape)

  @property
  def frames(self) -> int:
    """Latent frames of a clip."""
    return self._shape[0]

  def length(self, frames: int) -> int:
    """Latent frames of at least so many frames."""
    return 1 + -(-(frames - 1) // self._coder[0].time)

  @property
  def labels(self) -> dict[str, int]:
    """The source's own."""
    return getattr(self.pixels, "labels", {})

  @functools.cached_property
  def senses(self) -> dict[str, Sense]:
    """Every sense of the source, as it is coded."""
    time, out = self._coder[0].time, {}
    for name, sense in self.pixels.senses.items():
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
    """The example at `index`, as the source's but for its clip."""
    with np.load(io.BytesIO(self._records[int(index)])) as kept:
      clip = {name: kept[name].astype(np.float32) for name in kept.files if name != "about"}
      return {"clip": clip, **json.loads(str(kept["about"]))}

  def encode(self, clip: Clip) -> Clip:
    """Clips [batch, frames, ...] of the source, coded."""
    (coder, params), out = self._coder, {}
    for name, x in clip.items():
      if name == "sight":
        with jax.ensure_compile_time_eval():  # An example may be asked for while something is traced.
          out[name] = jax.device_get(_run(coder, "encode")(params, x))
      elif name in self.senses:
        with jax.ensure_compile_time_eval():
          x = np.asarray(lengthen(x, coder.time))
        out[name] = x.reshape(len(x), x.shape[1] // coder.time, -1)
    return out

  def decode(self, clip: Clip) -> Clip:
    """Undoes `encode`."""
    time, out = self._coder[0].time, {}
    for name, x in clip.items():
      if name == "sight":
        run, parts = _run(self._coder[0], "decode"), []
        for rows in batches(len(x), min(_BATCH, len(x))):
          parts.append(jax.device_get(run(self._coder[1], np.clip(x[rows], -1, 1))))
        out[name] = np.concatenate(parts)[: len(x)]
      else:
        x = np.asarray(x)
        out[name] = x.reshape(len(x), x.shape[1] * time, -1)[:, time - 1 :]
    return out

  @functools.cached_property
  def _records(self):
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    path = make_folder(self.cache) / f"{self._name()}.array_record"
    with _locked(Path(f"{path}.lock")):
      if not path.exists():
        self._write(Path(path))
    return ArrayRecordDataSource([str(path)])

  def _name(self) -> str:
    """By all that the file's content depends on."""
    digest = hashlib.sha256(json.dumps([dict(self.source), self.split, self.size], sort_keys=True).encode())
    digest.update(repr(self._coder[0]).encode())
    if takedown := self.source.get("takedown"):
      digest.update(Path(takedown).read_bytes())
    for leaf in jax.tree.leaves(self._coder[1]):
      digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]

  def _write(self, path: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    print(f"coding {self.size} clips into {path}.", flush=True)
    partial = path.with_name(path.name + ".partial")
    writer = ArrayRecordWriter(str(partial), "group_size:1")
    for start in range(0, self.size, _BATCH):
      examples = [self.pixels[i] for i in range(start, min(start + _BATCH, self.size))]
      names = examples[0]["clip"]
      clip = self.encode({name: np.stack([e["clip"][name] for e in examples]) for name in names})
      for row, example in enumerate(examples):
        about = {key: value for key, value in example.items() if key != "clip"}
        file = io.BytesIO()
        kept = {name: x[row].astype(np.float16) for name, x in clip.items()}
        np.savez(file, about=json.dumps(about, default=int), **kept)
        writer.write(file.getvalue())
    writer.close()
    partial.rename(path)


@functools.cache
def _run(coder: Autoencoder, method: str):
  return jax.jit(functools.partial(coder.apply, method=method))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
  """One process at a time; the others wait."""
  with path.open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
